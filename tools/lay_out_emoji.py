"""Layout of emoji as one directory of links per class, for `--dataset=folder`.

    npm install --no-save --prefix=PACKAGES emoji-datasource-google@16.0.0 emoji-datasource-twitter@16.0.0
    python tools/lay_out_emoji.py --source=PACKAGES/node_modules --held_out_fraction=0.1 --output=EMOJI

The images are those of 64 x 64 px of two npm packages, a download of 136 MB, under the licenses that the README of each
package names: Noto Emoji by Google (Apache License 2.0) in `emoji-datasource-google` and Twemoji (CC BY 4.0) in
`emoji-datasource-twitter`. The classes are the groups of Unicode, such as "Flags", without "Component", which has parts
of emoji only. All skin tones of an emoji are used. Of files with equal content, such as the flags of Norway and of
Svalbard, only the first is used.

With `--held_out_fraction=0.1`, the images of a tenth of the subjects of each class are laid out in OUTPUT/held_out and
the rest in OUTPUT/train. Emoji of one class that differ only in skin tone, gender, age group or direction show one
subject, in all sets. So do emoji whose images are equal in any set, and a few whose images are nearly equal.

No image is copied: OUTPUT has links to the images in PACKAGES, which must stay until `tools/prepare_imagenet.py` has
made record files.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.config.option import check_fraction_below_one, check_given, check_registered, option
from sagan_tf.data.images.file_names import is_ignored
from sagan_tf.errors import UserError
from sagan_tf.exporting.atomic_directories import check_is_new_or_empty
from sagan_tf.files import check_can_write_directory
from sagan_tf.text import read_text
from tools.preparation.class_layout import LinkedImage, link_images, print_layout, split_classes
from tools.preparation.emoji_subjects import find_subject, join_subjects

_SETS = ("google", "twitter")
_UNUSED_CLASS = "Component"
_VERSION = "16.0.0"
"""Version of the packages."""


@dataclasses.dataclass(frozen=True)
class LayoutOptions:
    """Directories and sets."""

    source: str = option("node_modules", "Directory with the packages emoji-datasource-SET.")
    sets: tuple[str, ...] = option(_SETS, "Comma list of the sets: google (Noto Emoji), twitter (Twemoji).")
    output: str = option("", "New directory.")
    held_out_fraction: float = option(
        0.0,
        "Share of the subjects of each class, rounded up, for `output`/held_out; the others are in `output`/train. The "
        "choice depends on the packages and `sets` only. 0: all images are directly in `output`.",
    )

    def __post_init__(self) -> None:
        check_given(self, "source", "sets", "output")
        check_fraction_below_one(self, "held_out_fraction")
        for name in self.sets:
            check_registered("sets", name, _SETS)
        if len(set(self.sets)) < len(self.sets):
            raise UserError(f"sets: expected each set once, received {','.join(self.sets)}")


@dataclasses.dataclass(frozen=True)
class EmojiImage:
    """An image of a package.

    Attributes:
        class_name: The group of the emoji.
        digest: Digest of the content of the file.
        image: The image, with the subject of the emoji.
    """

    class_name: str
    digest: bytes
    image: LinkedImage


def find_images(source: Path, sets: Sequence[str]) -> list[EmojiImage]:
    """Find the images of all classes.

    Raises:
        UserError: A package is missing, its list of emoji cannot be read, or an image is missing.
    """
    images = [
        image for image_set in sets for image in _read_package(source / f"emoji-datasource-{image_set}", image_set)
    ]
    if not images:
        raise UserError(f"source: the packages in {source} have no emoji")
    return images


def find_classes(images: Iterable[EmojiImage]) -> dict[str, list[LinkedImage]]:
    """Join the subjects with equal images, and keep the first of equal images.

    Returns:
        The images with different contents by class, with the classes in the order of their names.
    """
    first_images: dict[bytes, EmojiImage] = {}
    for image in images:
        first_images.setdefault(image.digest, image)
    subjects = join_subjects((image.image.subject, image.digest) for image in images)
    classes: dict[str, list[LinkedImage]] = {}
    for image in first_images.values():
        joined = dataclasses.replace(image.image, subject=subjects[image.image.subject])
        classes.setdefault(image.class_name, []).append(joined)
    return dict(sorted(classes.items()))


def _read_package(package: Path, image_set: str) -> list[EmojiImage]:
    try:
        emoji = json.loads(read_text(package / "emoji.json"))
        return [
            image for entry in emoji for image in _find_images(entry, package / "img" / image_set / "64", image_set)
        ]
    except FileNotFoundError as error:
        raise UserError(
            f"source: {error.filename} does not exist; run `npm install {package.name}@{_VERSION}`, and pass the "
            "directory node_modules as --source"
        ) from error
    except OSError as error:
        raise UserError(f"source: cannot read {package}: {error}") from error
    except UserError as error:  # not text in UTF-8
        raise UserError(f"source: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"source: {package / 'emoji.json'} is not a list of emoji as in {package.name} {_VERSION}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _find_images(emoji: dict[str, Any], directory: Path, image_set: str) -> Iterator[EmojiImage]:
    name, subject = _check_file_name(emoji["category"]), find_subject(_check_file_name(emoji["unified"]))
    for entry in (emoji, *emoji.get("skin_variations", {}).values()):
        if entry[f"has_img_{image_set}"] and name != _UNUSED_CLASS:
            path = directory / _check_file_name(entry["image"])
            # Reading comes before `resolve`, which reports a loop of links as a RuntimeError in Python 3.11.
            digest = hashlib.sha256(path.read_bytes()).digest()
            yield EmojiImage(name, digest, LinkedImage(f"{image_set}__{path.name}", path.resolve(), subject))


def _check_file_name(name: str) -> str:
    if not name.isprintable() or not name or is_ignored(name) or Path(name).name != name:
        raise ValueError(f"{name!r} is not the name of a visible file")
    return name


def main(options: LayoutOptions) -> None:
    """Lay out the sets of images, and print the classes.

    Raises:
        UserError: A package cannot be read, or the output cannot be written.
    """
    source, output = Path(os.path.expanduser(options.source)), Path(os.path.expanduser(options.output))
    check_can_write_directory(output, "output")
    check_is_new_or_empty(output, "output")
    images = find_images(source, options.sets)
    classes = find_classes(images)
    parts = split_classes(classes, options.held_out_fraction)
    link_images(parts, output)
    print_layout(parts, output)
    print(f"left out, equal to an earlier file: {len(images) - sum(map(len, classes.values()))}")


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run_command_line("tools/lay_out_emoji.py", __doc__, main, LayoutOptions, argv=argv)


if __name__ == "__main__":
    sys.exit(run())
