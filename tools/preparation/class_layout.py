"""Links to the images of each class, in one directory per class, with or without held-out images."""

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
    """An image and the name of the link to it.

    Attributes:
        link: Name of the link.
        path: Absolute path of the image.
        subject: What the image shows. Images of one class and subject are all training images or all held out.
    """

    link: str
    path: Path
    subject: str


Classes = Mapping[str, Sequence[LinkedImage]]
"""The images of each class, by its name."""


def split_classes(
    classes: Classes, held_out_fraction: float, advice: str = "choose a lower share"
) -> dict[str, Classes]:
    """Divide the images of each class between training and held-out images.

    The held-out subjects are those whose names have the lowest digests: the choice looks random and depends on the
    names only.

    Args:
        classes: The images of each class.
        held_out_fraction: Share of the subjects of each class that is held out, rounded up; 0 to below 1.
        advice: What the user can do if all images of a class would be held out, for the error message.

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
            subjects = len({image.subject for image in images})
            raise UserError(
                f"held_out_fraction: {held_out_fraction} leaves no training images of {name} (images: {len(images)}, "
                f"subjects: {subjects}); {advice}"
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


def print_layout(parts: Mapping[str, Classes], output: Path) -> None:
    """Print the number of images of each class, and of each part."""
    for name in next(iter(parts.values())):  # all parts have all classes
        print(make_printable(f"{name}: {sum(len(classes[name]) for classes in parts.values())}"))
    for part, classes in parts.items():
        count = sum(map(len, classes.values()))
        print(make_printable(f"{output / part}: {count} images of {len(classes)} classes"))
