"""Layout of emoji as one directory of links per class, for `--dataset=folder`.

    npm install emoji-datasource-google emoji-datasource-twitter
    python tools/lay_out_emoji.py --held_out_fraction=0.1 --output=EMOJI

The images are those of 64 x 64 px of the npm packages `emoji-datasource-*`: Noto Emoji by Google (Apache License 2.0)
and Twemoji by Twitter (CC BY 4.0). The classes are the groups of Unicode, such as "Flags", without the group
"Component", which has parts of emoji only. All skin tones of an emoji are used.

With `--held_out_fraction=0.1`, a tenth of the emoji of each class are laid out in OUTPUT/held_out, with all their skin
tones and in all sets, and the rest in OUTPUT/train. Nothing is copied and no image is opened.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.config.option import check_fraction_below_one, check_given, option
from sagan_tf.errors import UserError
from sagan_tf.exporting.atomic_directories import check_is_new_or_empty
from sagan_tf.files import check_can_write_directory
from sagan_tf.text import read_text
from tools.preparation.class_layout import LinkedImage, split_classes, write_layout

_UNUSED_GROUP = "Component"


@dataclasses.dataclass(frozen=True)
class LayoutOptions:
    """Directories and sets."""

    source: str = option("node_modules", "Directory with the packages emoji-datasource-SET.")
    sets: tuple[str, ...] = option(("google", "twitter"), "Comma list of the sets of images.")
    output: str = option("", "New directory.")
    held_out_fraction: float = option(
        0.0,
        "Share of the emoji of each class, rounded up, for `output`/held_out; the others are in `output`/train. The "
        "choice depends on the emoji only. 0: all images are directly in `output`.",
    )

    def __post_init__(self) -> None:
        check_given(self, "source", "sets", "output")
        check_fraction_below_one(self, "held_out_fraction")


def find_classes(source: Path, image_set: str) -> dict[str, list[LinkedImage]]:
    """Find the images of each class in one set.

    Returns:
        The images by class, with the classes in the order of their names. The group of an image is its emoji without
        skin tones.

    Raises:
        UserError: The package is missing or its list of emoji cannot be read, or an image is missing.
    """
    package = source / f"emoji-datasource-{image_set}"
    classes: dict[str, list[LinkedImage]] = {}
    try:
        for emoji in json.loads(read_text(package / "emoji.json")):
            if (name := _check_file_name(emoji["category"])) != _UNUSED_GROUP:
                images = _find_images(emoji, package / "img" / image_set / "64", image_set)
                classes.setdefault(name, []).extend(images)
    except FileNotFoundError as error:
        raise UserError(
            f"source: {error.filename} does not exist; run `npm install {package.name}`, and pass the directory "
            "node_modules as --source"
        ) from error
    except OSError as error:
        raise UserError(f"source: cannot read {package}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"source: {package / 'emoji.json'} is not a list of emoji as in version 16 of {package.name}: "
            f"{type(error).__name__}: {error}"
        ) from error
    if not classes:
        raise UserError(f"source: {package / 'emoji.json'} has no emoji")
    return dict(sorted(classes.items()))


def _find_images(emoji: dict[str, Any], directory: Path, image_set: str) -> list[LinkedImage]:
    shown = [entry for entry in (emoji, *emoji.get("skin_variations", {}).values()) if entry[f"has_img_{image_set}"]]
    files = [_check_file_name(entry["image"]) for entry in shown]
    return [
        LinkedImage(f"{image_set}__{file}", (directory / file).resolve(strict=True), group=str(emoji["unified"]))
        for file in files
    ]


def _check_file_name(name: str) -> str:
    if name in (".", "..") or Path(name).name != name:
        raise ValueError(f"{name!r} is not the name of a file")
    return name


def main(options: LayoutOptions) -> None:
    """Lay out the sets of images, and print the classes.

    Raises:
        UserError: A package cannot be read, or the output cannot be written.
    """
    source, output = Path(os.path.expanduser(options.source)), Path(os.path.expanduser(options.output))
    check_can_write_directory(output, "output")
    check_is_new_or_empty(output, "output")
    classes: dict[str, list[LinkedImage]] = {}
    for image_set in dict.fromkeys(options.sets):
        for name, images in find_classes(source, image_set).items():
            classes.setdefault(name, []).extend(images)
    write_layout(split_classes(classes, options.held_out_fraction), output)


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run_command_line("tools/lay_out_emoji.py", __doc__, main, LayoutOptions, argv=argv)


if __name__ == "__main__":
    sys.exit(run())
