"""A directory of links to images: one directory per class, or training and held-out directories of them."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from sagan_tf.config.image_selection import count_fraction
from sagan_tf.errors import UserError
from sagan_tf.exporting.atomic_directories import replace_directories_atomically
from sagan_tf.text import make_printable


@dataclasses.dataclass(frozen=True)
class LinkedImage:
    """An image of a class.

    Attributes:
        link: Name of the link, unique in its class.
        path: Absolute path of the image.
        group: Images of one group are all training images or all held out.
    """

    link: str
    path: Path
    group: str


Classes = Mapping[str, Sequence[LinkedImage]]
"""The images of each class, by its name."""


def split_classes(classes: Classes, held_out_fraction: float) -> dict[str, Classes]:
    """Divide the images of each class between training and held-out images.

    The held-out groups are those whose names have the lowest digests: the choice looks random and is the same on every
    machine.

    Args:
        classes: The images of each class.
        held_out_fraction: Share of the groups of each class that is held out, rounded up; 0 to below 1.

    Returns:
        The classes of each part, by the directory of the part: "train" and "held_out", or "" for all images.

    Raises:
        UserError: All images of a class would be held out.
    """
    if not held_out_fraction:
        return {"": classes}
    held_out = {name: _choose_groups(name, images, held_out_fraction) for name, images in classes.items()}
    return {
        "train": {n: [image for image in images if image.group not in held_out[n]] for n, images in classes.items()},
        "held_out": {n: [image for image in images if image.group in held_out[n]] for n, images in classes.items()},
    }


def _choose_groups(name: str, images: Sequence[LinkedImage], held_out_fraction: float) -> set[str]:
    groups = sorted({image.group for image in images}, key=lambda group: hashlib.sha256(os.fsencode(group)).digest())
    count = count_fraction(len(groups), held_out_fraction)
    if count == len(groups):
        raise UserError(
            f"held_out_fraction: {held_out_fraction} leaves no training images of {name} ({count} in all); choose a "
            "lower share"
        )
    return set(groups[:count])


def write_layout(parts: Mapping[str, Classes], output: Path) -> None:
    """Create a directory of links for each class of each part, and print the numbers of images.

    `output` appears as a whole or not at all.

    Raises:
        UserError: `output` exists or cannot be written.
    """
    with replace_directories_atomically([output], overwrite=False) as (new,):
        for part, classes in parts.items():
            for name, images in classes.items():
                directory = new / part / name
                directory.mkdir(parents=True)
                for image in images:
                    (directory / image.link).symlink_to(image.path)
    for name in next(iter(parts.values())):
        print(make_printable(f"{name}: {sum(len(classes[name]) for classes in parts.values())}"))
    for part, classes in parts.items():
        print(f"{output / part}: {sum(map(len, classes.values()))} images of {len(classes)} classes")
