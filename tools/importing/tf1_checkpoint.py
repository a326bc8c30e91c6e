"""A checkpoint of TensorFlow 1: variables by name, and which of them have been used."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.tensorflow_paths import literal_path

AVERAGE = "/ExponentialMovingAverage"
"""What tf.train.ExponentialMovingAverage adds to the name of the variable that it averages."""


class Tf1Checkpoint:
    """Reads variables, and remembers which.

    Args:
        prefix: path of the checkpoint without `.index` or `.data-...`.

    Attributes:
        prefix: the same.
        shapes: the shape of every variable, by name.

    Raises:
        UserError: it is missing or damaged.
    """

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        with self._reader() as reader:
            self.shapes: dict[str, tuple[int, ...]] = {
                name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()
            }
        self._used: set[str] = set()

    def read(self, name: str) -> np.ndarray:
        """Return the variable of this name, numbers with a fraction as float32.

        Raises:
            UserError: it cannot be read, or holds what is no number.
        """
        with self._reader() as reader:
            value = np.asarray(reader.get_tensor(name))
        self._used.add(name)
        if not np.issubdtype(value.dtype, np.integer):
            value = value.astype(np.float32)
        if not np.all(np.isfinite(value)):
            raise UserError(
                f"checkpoint: expected finite numbers, received others in {name} of {self.prefix}; "
                "import an older checkpoint of the run, from before it broke"
            )
        return value

    def unused(self) -> list[str]:
        """Names of the variables that nothing has read."""
        return sorted(set(self.shapes) - self._used)

    def number_used(self) -> int:
        """How many variables have been read."""
        return len(self._used)

    @contextlib.contextmanager
    def _reader(self) -> Iterator[Any]:
        """Yield TensorFlow's reader; it opens the files of values only when it is asked for one of them."""
        with literal_path(self.prefix) as path:
            try:
                yield tf.train.load_checkpoint(path)
            except (tf.errors.OpError, RuntimeError, ValueError, IndexError) as error:
                reason = (str(error).splitlines() or [type(error).__name__])[0].replace(path, self.prefix)
                raise UserError(
                    f"checkpoint: expected an intact checkpoint at {self.prefix}, received {reason}; copy its .index "
                    "and all its .data files again, or name an older one"
                ) from error
