"""What metrics compare with: computed once of a set of real images, kept in an .npz file that says what it is of."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import os
import pathlib
from typing import Any

import numpy as np

from sagan_tf.errors import UserError
from sagan_tf.features.statistics import Gathered, Moments
from sagan_tf.files import replace_atomically

MOST_KEPT = 50_000
"""Features kept beside mean and covariance, for metrics that are not functions of those."""

_LONGEST_WORDS = 40
_FORMAT = 2


@dataclasses.dataclass(frozen=True)
class Provenance:
    """What a reference is of: two with the same one are the same.

    Attributes:
        images: data set and split, or folder.
        fingerprint: of the files.
        count: images.
        resolution, image_channels: of the images, as they were decoded, cropped and resized.
        extractor: its identity.
        preprocessing: how the extractor brought them to its own size.
        class_names: of the labels.
    """

    images: str
    fingerprint: str
    count: int
    resolution: int
    image_channels: int
    extractor: str
    preprocessing: str
    class_names: tuple[str, ...]

    @property
    def file_name(self) -> str:
        """A file's name for it."""
        digest = hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()[:12]
        words = "".join(
            letter if letter.isalnum() else "_" for letter in os.path.basename(self.images)[:_LONGEST_WORDS]
        )
        return f"{words}_{self.resolution}px_{digest}.npz"


@dataclasses.dataclass(frozen=True)
class Reference:
    """Statistics and features of real images, and what they are of.

    Attributes:
        provenance: of all the images that are there.
        gathered: of those that could be read.
        unreadable: names of the others.
    """

    provenance: Provenance
    gathered: Gathered
    unreadable: tuple[str, ...] = ()


def save_reference(reference: Reference, path: pathlib.Path) -> None:
    """Write a reference, whole or not at all.

    Raises:
        OSError: The file cannot be written.
    """
    gathered = reference.gathered
    arrays = {
        "format": np.int64(_FORMAT),
        "provenance": np.array(json.dumps(dataclasses.asdict(reference.provenance))),
        "count": np.int64(gathered.count),
        "mean": gathered.moments.mean,
        "covariance": gathered.moments.covariance,
        "features": gathered.features,
        "labels": gathered.labels,
        "class_counts": gathered.class_counts,
        "unreadable": np.array(json.dumps(reference.unreadable)),
    }
    with replace_atomically(path, shared=True) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load_reference(path: pathlib.Path) -> Reference:
    """Read a reference.

    Raises:
        UserError: the file cannot be read, or is no reference of this project.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            if int(arrays["format"]) != _FORMAT:
                raise UserError(f"reference: expected format {_FORMAT} in {path}, received {int(arrays['format'])}")
            fields: dict[str, Any] = json.loads(str(arrays["provenance"]))
            provenance = Provenance(**fields | {"class_names": tuple(fields["class_names"])})
            count = int(arrays["count"])
            moments, labels = Moments(count, arrays["mean"], arrays["covariance"]), arrays["labels"]
            # Files of earlier versions have no counts: those of the labels kept, at most `MOST_KEPT` in random order.
            class_counts = arrays["class_counts"] if "class_counts" in arrays else np.bincount(labels)
            return Reference(
                provenance,
                Gathered(count, moments, features=arrays["features"], labels=labels, class_counts=class_counts),
                tuple(json.loads(str(arrays["unreadable"]))),
            )
    except UserError:
        raise
    except OSError as error:
        raise UserError(
            f"reference: expected a file that can be read, received {path} ({error.strerror or error})"
        ) from error
    except Exception as error:  # damaged archives raise nearly every kind of exception
        raise UserError(
            f"reference: expected an .npz file that sagan_tf.evaluate wrote, received {path} ({error})"
        ) from error
