"""Reader of checkpoints of TensorFlow 1, which records the variables that have been read."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.tensorflow_paths import literal_path

AVERAGE_SUFFIX = "/ExponentialMovingAverage"
"""Suffix that tf.train.ExponentialMovingAverage adds to the name of an averaged variable."""


class Tf1Checkpoint:
    """A checkpoint of TensorFlow 1.

    Args:
        prefix: Path of the checkpoint without `.index` or `.data-...`.

    Attributes:
        prefix: Path of the checkpoint without `.index` or `.data-...`.
        shapes: The shape of every variable, by name.

    Raises:
        UserError: The checkpoint is missing or damaged.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        with self._open_reader() as reader:
            self.shapes: dict[str, tuple[int, ...]] = {
                name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()
            }
        self._used: set[str] = set()

    def read(self, name: str) -> np.ndarray:
        """Return the value of a variable; floating-point values as float32.

        Raises:
            UserError: The variable cannot be read, or has non-finite values.
        """
        with self._open_reader() as reader:
            value = np.asarray(reader.get_tensor(name))
        self._used.add(name)
        if not np.issubdtype(value.dtype, np.integer):
            value = value.astype(np.float32)
        if not np.all(np.isfinite(value)):
            raise UserError(
                f"checkpoint: {name} of {self.prefix} has NaN or infinite values; import an older checkpoint of the run"
            )
        return value

    def list_unused(self) -> list[str]:
        """Return the sorted names of the variables that have not been read."""
        return sorted(set(self.shapes) - self._used)

    def count_used(self) -> int:
        """Return the number of variables that have been read."""
        return len(self._used)

    @contextlib.contextmanager
    def _open_reader(self) -> Iterator[Any]:
        """Open TensorFlow's reader, which reads the files of values only on demand."""
        with literal_path(self.prefix) as path:
            try:
                yield tf.train.load_checkpoint(path)
            except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0].replace(path, self.prefix)
                raise UserError(
                    f"checkpoint: cannot read {self.prefix}: {reason}; copy its .index and all its .data files again, "
                    "or give an older checkpoint"
                ) from error
