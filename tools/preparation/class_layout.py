"""A directory of links to images: one directory per class, or training and held-out directories of them."""

from __future__ import annotations

import dataclasses
import hashlib
import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from sagan_tf.config.image_selection import count_fraction
from sagan_tf.errors import UserError
from sagan_tf.exporting.atomic_directories import replace_directories_atomically
from sagan_tf.text import make_printable


@dataclasses.dataclass(frozen=True)
class LinkedImage:
    """An image of a class.

    Attributes:
        link: Name of the link.
        path: Absolute path of the image.
        subject: What the image shows. Images of one subject are all training images or all held out.
    """

    link: str
    path: Path
    subject: str


Classes = Mapping[str, Sequence[LinkedImage]]
"""The images of each class, by its name."""


def split_classes(classes: Classes, held_out_fraction: float) -> dict[str, Classes]:
    """Divide the images of each class between training and held-out images.

    The held-out subjects are those whose names have the lowest digests: the choice looks random and is the same on
    every machine.

    Args:
        classes: The images of each class.
        held_out_fraction: Share of the subjects of each class that is held out, rounded up; 0 to below 1.

    Returns:
        The classes of each part, by the directory of the part: "train" and "held_out", or "" for all images.

    Raises:
        UserError: All images of a class would be held out.
    """
    if not held_out_fraction:
        return {"": classes}
    parts: dict[str, dict[str, list[LinkedImage]]] = {"train": {}, "held_out": {}}
    for name, images in classes.items():
        held_out = _choose_subjects(images, held_out_fraction)
        parts["train"][name] = [image for image in images if image.subject not in held_out]
        parts["held_out"][name] = [image for image in images if image.subject in held_out]
        if not parts["train"][name]:
            raise UserError(
                f"held_out_fraction: {held_out_fraction} leaves no training images of {name}; choose a lower share or "
                "a class with more images"
            )
    return dict(parts)


def _choose_subjects(images: Sequence[LinkedImage], fraction: float) -> set[str]:
    subjects = sorted({image.subject for image in images}, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())
    return set(subjects[: count_fraction(len(subjects), fraction)])


def link_images(parts: Mapping[str, Classes], output: Path) -> None:
    """Create a directory of links for each class of each part.

    `output` appears as a whole or not at all.

    Raises:
        UserError: Two images of a class have the same link, or `output` exists or cannot be written.
    """
    with replace_directories_atomically([output], overwrite=False) as (new,):
        for part, classes in parts.items():
            for name, images in classes.items():
                directory = new / part / name
                directory.mkdir(parents=True)
                for image in images:
                    if (link := directory / image.link).is_symlink():
                        raise UserError(
                            f"source: {image.path} and another image of {name} would both be linked as {image.link}; "
                            "rename one of them"
                        )
                    link.symlink_to(image.path)


def print_layout(parts: Mapping[str, Classes], class_names: Collection[str], output: Path) -> None:
    """Print the number of images of each class, and of each part."""
    for name in class_names:
        print(make_printable(f"{name}: {sum(len(classes[name]) for classes in parts.values())}"))
    for part, classes in parts.items():
        print(f"{output / part}: {sum(map(len, classes.values()))} images of {len(classes)} classes")
