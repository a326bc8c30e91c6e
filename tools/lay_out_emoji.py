"""Layout of emoji as one directory of links per class, for `--dataset=folder`.

    npm install --no-save --prefix=PACKAGES emoji-datasource-google@16 emoji-datasource-twitter@16
    python tools/lay_out_emoji.py --source=PACKAGES/node_modules --held_out_fraction=0.1 --output=EMOJI

The images are those of 64 x 64 px of two npm packages, under the licenses that these name: Noto Emoji by Google (Apache
License 2.0) in `emoji-datasource-google` and Twemoji (CC BY 4.0) in `emoji-datasource-twitter`. The classes are the
groups of Unicode, such as "Flags", without "Component", which has parts of emoji only. All skin tones of an emoji are
used. Of files with equal content, such as the flags of Norway and of Svalbard, only the first is used.

With `--held_out_fraction=0.1`, the images of a tenth of the subjects of each class are laid out in OUTPUT/held_out and
the rest in OUTPUT/train. Emoji that differ only in skin tone, gender, age group or direction show one subject, in all
sets. No image is copied.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
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

_SETS = ("google", "twitter")
_UNUSED_CLASS = "Component"
_PERSON = "1F9D1"
_CODES_OF_ONE_PERSON = ("1F468", "1F469", "1F466", "1F467", "1F9D2", "1F474", "1F475", "1F9D3")
"""Man, woman, boy, girl, child, old man, old woman and older person."""
_CODES_WITHOUT_SUBJECT = ("200D", "FE0F", "2640", "2642", "27A1")
"""Zero-width joiner, variation selector, female sign, male sign, and the arrow of the direction to the right."""


@dataclasses.dataclass(frozen=True)
class LayoutOptions:
    """Directories and sets."""

    source: str = option("node_modules", "Directory with the packages emoji-datasource-SET.")
    sets: tuple[str, ...] = option(_SETS, "Comma list of the sets: google (Noto Emoji), twitter (Twemoji).")
    output: str = option("", "New directory.")
    held_out_fraction: float = option(
        0.0,
        "Share of the subjects of each class, rounded up, for `output`/held_out; the others are in `output`/train. The "
        "choice is the same on every machine. 0: all images are directly in `output`.",
    )

    def __post_init__(self) -> None:
        check_given(self, "source", "sets", "output")
        check_fraction_below_one(self, "held_out_fraction")
        for name in self.sets:
            check_registered("sets", name, _SETS)
        if len(set(self.sets)) < len(self.sets):
            raise UserError(f"sets: expected each set once, received {','.join(self.sets)}")


def find_classes(source: Path, sets: Sequence[str]) -> dict[str, list[LinkedImage]]:
    """Find the images of each class.

    Returns:
        The images with different contents by class, with the classes in the order of their names.

    Raises:
        UserError: A package is missing, its list of emoji cannot be read, or an image is missing.
    """
    classes: dict[str, list[LinkedImage]] = {}
    seen: set[bytes] = set()
    for image_set in sets:
        for name, image in _read_package(source / f"emoji-datasource-{image_set}", image_set):
            digest = hashlib.sha256(image.path.read_bytes()).digest()
            if digest not in seen:
                seen.add(digest)
                classes.setdefault(name, []).append(image)
    if not classes:
        raise UserError(f"source: the packages in {source} have no emoji")
    return dict(sorted(classes.items()))


def _read_package(package: Path, image_set: str) -> list[tuple[str, LinkedImage]]:
    try:
        emoji = json.loads(read_text(package / "emoji.json"))
        return [
            image for entry in emoji for image in _find_images(entry, package / "img" / image_set / "64", image_set)
        ]
    except FileNotFoundError as error:
        raise UserError(
            f"source: {error.filename} does not exist; run `npm install {package.name}@16`, and pass the directory "
            "node_modules as --source"
        ) from error
    except OSError as error:
        raise UserError(f"source: cannot read {package}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"source: {package / 'emoji.json'} is not a list of emoji as in version 16 of {package.name}: "
            f"{type(error).__name__}: {error}"
        ) from error


def _find_images(emoji: dict[str, Any], directory: Path, image_set: str) -> Iterator[tuple[str, LinkedImage]]:
    name, subject = _check_file_name(emoji["category"]), find_subject(_check_file_name(emoji["unified"]))
    for entry in (emoji, *emoji.get("skin_variations", {}).values()):
        if entry[f"has_img_{image_set}"] and name != _UNUSED_CLASS:
            path = (directory / _check_file_name(entry["image"])).resolve(strict=True)
            yield name, LinkedImage(f"{image_set}__{entry['image']}", path, subject)


def find_subject(codes: str) -> str:
    """Return the code points of an emoji, such as "1F9D1-1F692", without gender, age group and direction."""
    kept = (code for code in codes.split("-") if code not in _CODES_WITHOUT_SUBJECT)
    return "-".join(_PERSON if code in _CODES_OF_ONE_PERSON else code for code in kept)


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
    classes = find_classes(source, options.sets)
    parts = split_classes(classes, options.held_out_fraction)
    link_images(parts, output)
    print_layout(parts, classes, output)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run_command_line("tools/lay_out_emoji.py", __doc__, main, LayoutOptions, argv=argv)


if __name__ == "__main__":
    sys.exit(run())
