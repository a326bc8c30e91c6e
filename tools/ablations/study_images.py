"""Description of the images of a study, which cannot be made again without checkpoints."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

from sagan_tf.errors import UserError
from sagan_tf.files import replace_atomically
from sagan_tf.text import read_text

IMAGES = "images.json"
"""Name of the file."""
_IMAGE_NAME = re.compile(r"\w[\w.+-]*\.png")
"""Name of an image, without a directory: the file may be from the archive of a stranger."""


@dataclasses.dataclass(frozen=True)
class StudyImages:
    """The images of a study.

    Attributes:
        names: Names of the files, with the run that each shows; empty for all runs.
        notes: A line for each run or setting that lacks images, with the reason.
    """

    names: dict[str, str]
    notes: list[str]


def read_study_images(path: Path) -> StudyImages:
    """Read the description of the images of a study.

    Raises:
        UserError: The file is damaged, or names a file that is not an image in its directory.
    """
    try:
        content = json.loads(read_text(path))
        names, notes = dict(content["names"]), list(content["notes"])
        if not all(isinstance(text, str) for text in (*names, *names.values(), *notes)):
            raise TypeError
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"run_dir: {path} is not a valid list of images; remove it, and the images are left out"
        ) from error
    for name in names:
        if not _IMAGE_NAME.fullmatch(name):
            raise UserError(f"run_dir: expected names of PNG files without a directory in {path}, received {name!r}")
    return StudyImages(names, notes)


def write_study_images(path: Path, images: StudyImages) -> None:
    """Write the description of the images of a study. Several processes may write it at the same time."""
    with replace_atomically(path, shared=True) as temporary:
        temporary.write_text(json.dumps(dataclasses.asdict(images), indent=1) + "\n", encoding="utf-8")
