"""Layout of nested directories of images as one directory of links per class, for `--dataset=folder`.

    apt-get install openclipart-png
    python tools/lay_out_classes.py --source=/usr/share/openclipart/png --min_images=100 --output=DRAWINGS
    python tools/prepare_imagenet.py --dataset=folder --data_dir=DRAWINGS --resolution=64 --format=png --output=RECORDS

A class is a directory directly in SOURCE, with all images in it and below it. Links in SOURCE are left out, since such
collections use them to show an image in several classes. Nothing is copied and no image is opened: training and
`prepare_imagenet.py` put transparent images on white, and report those that cannot be read or are too large.

With `--held_out_fraction=0.1`, a tenth of each class is laid out in OUTPUT/held_out and the rest in OUTPUT/train.
"""

from __future__ import annotations

import dataclasses
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.config.option import check_fraction_below_one, check_given, check_positive, option
from sagan_tf.data.images.file_names import is_ignored, is_image
from sagan_tf.errors import UserError
from sagan_tf.exporting.atomic_directories import check_is_new_or_empty
from sagan_tf.files import check_can_write_directory
from sagan_tf.text import make_printable
from tools.preparation.class_layout import LinkedImage, link_images, print_layout, split_classes


@dataclasses.dataclass(frozen=True)
class LayoutOptions:
    """Directories and classes."""

    source: str = option("", "Directory with a directory for each class.")
    output: str = option("", "New directory.")
    classes: tuple[str, ...] = option((), "Comma list of the classes to use; empty: all.")
    min_images: int = option(1, "Least number of images of a class.")
    held_out_fraction: float = option(
        0.0,
        "Share of the images of each class, rounded up, for `output`/held_out; the others are in `output`/train. The "
        "choice depends on the paths of the images only. 0: all images are directly in `output`.",
    )

    def __post_init__(self) -> None:
        check_given(self, "source", "output")
        check_positive(self, "min_images")
        check_fraction_below_one(self, "held_out_fraction")


def find_classes(source: Path) -> dict[str, list[LinkedImage]]:
    """Find the images of each class.

    Returns:
        The images, sorted by path, by class.

    Raises:
        UserError: `source` cannot be read.
    """
    try:
        names = sorted(entry.name for entry in os.scandir(source) if _is_class(entry))
        return {name: [_describe(source, path) for path in sorted(_find_images_below(source / name))] for name in names}
    except OSError as error:
        raise UserError(f"source: cannot read {source}: {error}") from error


def _describe(source: Path, path: Path) -> LinkedImage:
    relative = path.relative_to(source)
    return LinkedImage("__".join(relative.parts[1:]), path.resolve(), subject=os.fspath(relative))


def _is_class(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and not is_ignored(entry.name)


def _find_images_below(directory: Path) -> Iterator[Path]:
    with os.scandir(directory) as entries:
        for entry in entries:
            if is_ignored(entry.name) or entry.is_symlink():
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from _find_images_below(Path(entry.path))
            elif is_image(entry):
                yield Path(entry.path)


def main(options: LayoutOptions) -> None:
    """Lay out the classes that the options select, and print them.

    Raises:
        UserError: A directory cannot be read or written, a class does not exist, or one has too few images.
    """
    source, output = Path(os.path.expanduser(options.source)), Path(os.path.expanduser(options.output))
    check_can_write_directory(output, "output")
    check_is_new_or_empty(output, "output")
    found = find_classes(source)
    if unknown := [name for name in options.classes if name not in found]:
        raise UserError(f"classes: {source} has no directory {unknown[0]!r}")
    found = {name: images for name, images in found.items() if name in options.classes or not options.classes}
    classes = {name: images for name, images in found.items() if len(images) >= options.min_images}
    if len(classes) < 2:
        raise UserError(
            f"source: expected at least 2 directories with {options.min_images} images or more in {source}, received "
            f"{len(classes)} of {len(found)}"
        )
    parts = split_classes(classes, options.held_out_fraction, advice="choose a lower share or a higher --min_images")
    link_images(parts, output)
    print_layout(parts, output)
    left_out = ", ".join(f"{name} ({len(images)})" for name, images in found.items() if name not in classes)
    if left_out:
        print(make_printable(f"left out, with fewer than --min_images={options.min_images}: {left_out}"))


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run_command_line("tools/lay_out_classes.py", __doc__, main, LayoutOptions, argv=argv)


if __name__ == "__main__":
    sys.exit(run())
