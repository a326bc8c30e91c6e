"""Sets of images in a directory, and the record files that describe their shards.

A directory holds the images of one set, which has one generator and one range of seeds. Each shard of the set writes a
record `seeds_<first>_<last>.json` beside its images, so that other shards and later calls know which images exist.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Sequence
from typing import Any

from sagan_tf.errors import UserError
from sagan_tf.text import normalize_name, read_text

_MAX_DIRECTORY_NAME_BYTES = 100
_RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{number}" for name in ("com", "lpt") for number in range(1, 10))}
"""Names that Windows reserves."""


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """A set of images of one generator and one range of seeds.

    The names of the fields are keys of the record files.

    Attributes:
        generator: Name of the generator for people.
        first_seed: Seed of the first image.
        count: Number of images in all shards.
        labels: Classes of the images in turn: the class of a seed is labels[seed % len(labels)].
        folders: Subdirectory of the images of each label; empty if the images lie in the directory itself.
        truncation: Truncation threshold; None for no truncation.
        weights: Digest of the generator's weights, including the statistics of batch normalization.
    """

    generator: str = dataclasses.field(compare=False)
    first_seed: int
    count: int
    labels: tuple[int, ...]
    folders: tuple[str, ...]
    truncation: float | None
    weights: str = ""

    def get_shard_seeds(self, shard: int, num_shards: int) -> range:
        """Return the seeds of a shard, counted from 0."""
        start, stop = (self.first_seed + self.count * index // num_shards for index in (shard, shard + 1))
        return range(start, stop)

    def get_label(self, seed: int) -> int:
        """Return the class of an image."""
        return self.labels[seed % len(self.labels)]

    def get_path(self, seed: int) -> str:
        """Return the path of an image relative to the directory."""
        return f"{self.folders[self.get_label(seed)]}/{seed:08d}.png" if self.folders else f"{seed:08d}.png"

    def make_record(self, seeds: range, complete: bool) -> dict[str, Any]:
        """Make the record of a shard, which is written as JSON."""
        fields = dataclasses.asdict(self) | {"labels": list(self.labels), "folders": list(self.folders)}
        return fields | {"seeds": [seeds.start, seeds.stop], "complete": complete}


def choose_class_directories(num_classes: int, class_names: Sequence[str]) -> tuple[str, ...]:
    """Choose the name of a subdirectory for each class.

    These are the names of the classes, or the labels of all classes if one of the names cannot be a directory name.
    `sagan_tf.evaluate --images` reads the classes from both.

    Args:
        num_classes: Number of classes; 0 means a generator without classes.
        class_names: Names of the classes; empty if they are not known.

    Returns:
        One name per class.
    """
    if (
        num_classes
        and len({normalize_name(name).casefold() for name in class_names}) == num_classes
        and all(map(_is_safe_name, class_names))
    ):
        return tuple(class_names)
    digits = len(str(max(num_classes - 1, 0)))
    return tuple(f"{label:0{digits}d}" for label in range(num_classes))


def read_record(path: pathlib.Path) -> tuple[ImageSet, range, bool]:
    """Read the record of a shard.

    Args:
        path: Path of the record file.

    Returns:
        The set, the seeds of the shard, and whether all images of the shard were written.

    Raises:
        UserError: The record is damaged or has unsafe values.
    """
    try:
        record = json.loads(read_text(path))
        seeds, complete = record.pop("seeds"), record.pop("complete")
        record |= {name: tuple(record[name]) for name in ("labels", "folders")}
        image_set = ImageSet(**record)
        if not all(map(_is_safe_name, image_set.folders)):
            raise ValueError("a name in `folders` is not a safe directory name")
        if not image_set.labels or not all(0 <= label < max(len(image_set.folders), 1) for label in image_set.labels):
            raise ValueError("a label has no directory")
        if not image_set.first_seed <= seeds[0] <= seeds[1] <= image_set.first_seed + image_set.count:
            raise ValueError("the seeds are outside the set")
        return image_set, range(*seeds), complete
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UserError(
            f"output: the record {path} is damaged ({error}); choose another directory, or remove the record and its "
            "images"
        ) from error


def _is_safe_name(name: str) -> bool:
    """Check that a class name is a safe directory name on every system."""
    is_printable = name.isprintable() and not set(name) & set('/\\:*?"<>|')
    is_reserved = name.partition(".")[0].casefold() in _RESERVED or name.startswith("seeds_")
    has_valid_length = 0 < len(name.encode(errors="replace")) <= _MAX_DIRECTORY_NAME_BYTES
    return is_printable and has_valid_length and not is_reserved and name[0] != "." and name[-1] not in ". "
