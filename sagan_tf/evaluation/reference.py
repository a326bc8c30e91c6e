"""Reference statistics of real images that metrics compare with, stored in an .npz file with their provenance."""

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
from sagan_tf.features.statistics import ImageSetStatistics, Moments
from sagan_tf.files import replace_atomically

MAX_FEATURES = 50_000
"""Number of features stored with mean and covariance, for metrics that need more than these."""

_MAX_NAME_LENGTH = 40
"""Characters of the name of the images in the name of a reference file."""
_FORMAT = 2


@dataclasses.dataclass(frozen=True)
class Provenance:
    """Provenance of a reference: two references with equal provenance are equal.

    The names of the fields are stored in the file.

    Attributes:
        images: Data set and split, or a directory.
        fingerprint: Digest of the image files.
        count: Number of images.
        resolution: Height and width of the images after decoding, cropping and resizing.
        image_channels: Channels that the images were decoded with.
        extractor: Identifier of the extractor.
        preprocessing: Description of the extractor's preprocessing.
        class_names: Names of the classes of the labels.
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
        """Name of the file of a reference with this provenance."""
        digest = hashlib.sha256(json.dumps(dataclasses.asdict(self), sort_keys=True).encode()).hexdigest()[:12]
        name = os.path.basename(self.images)[:_MAX_NAME_LENGTH]
        name = "".join(character if character.isalnum() else "_" for character in name)
        return f"{name}_{self.resolution}px_{digest}.npz"


@dataclasses.dataclass(frozen=True)
class Reference:
    """Statistics and features of real images, with their provenance.

    Attributes:
        provenance: Provenance of all images.
        statistics: Statistics of the readable images.
        unreadable: Names of the unreadable images.
    """

    provenance: Provenance
    statistics: ImageSetStatistics
    unreadable: tuple[str, ...] = ()


def save_reference(reference: Reference, path: pathlib.Path) -> None:
    """Write a reference atomically.

    Raises:
        OSError: The file cannot be written.
    """
    statistics = reference.statistics
    arrays = {
        "format": np.int64(_FORMAT),
        "provenance": np.array(json.dumps(dataclasses.asdict(reference.provenance))),
        "count": np.int64(statistics.count),
        "mean": statistics.moments.mean,
        "covariance": statistics.moments.covariance,
        "features": statistics.features,
        "labels": statistics.labels,
        "class_counts": statistics.class_counts,
        "unreadable": np.array(json.dumps(reference.unreadable)),
    }
    with replace_atomically(path, shared=True) as temporary, temporary.open("wb") as file:
        np.savez(file, **arrays)


def load_reference(path: pathlib.Path) -> Reference:
    """Read a reference.

    Raises:
        UserError: The file cannot be read, or it is not a reference that `save_reference` wrote.
    """
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as arrays:
            if int(arrays["format"]) != _FORMAT:
                raise UserError(f"reference: expected format {_FORMAT} in {path}, received {int(arrays['format'])}")
            fields: dict[str, Any] = json.loads(str(arrays["provenance"]))
            provenance = Provenance(**fields | {"class_names": tuple(fields["class_names"])})
            count = int(arrays["count"])
            moments, labels = Moments(count, arrays["mean"], arrays["covariance"]), arrays["labels"]
            # Files of earlier versions have no class counts. They are estimated by the stored labels, which are of at
            # most `MAX_FEATURES` images in random order.
            class_counts = arrays["class_counts"] if "class_counts" in arrays else np.bincount(labels)
            return Reference(
                provenance,
                ImageSetStatistics(
                    count, moments, features=arrays["features"], labels=labels, class_counts=class_counts
                ),
                tuple(json.loads(str(arrays["unreadable"]))),
            )
    except UserError:
        raise
    except OSError as error:
        raise UserError(
            f"reference: expected a file that can be read, received {path} ({error.strerror or error})"
        ) from error
    except Exception as error:  # damaged archives raise many kinds of exceptions
        raise UserError(
            f"reference: expected an .npz file that sagan_tf.evaluate wrote, received {path} ({error})"
        ) from error
