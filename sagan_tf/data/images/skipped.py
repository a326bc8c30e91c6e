"""Unreadable images: each is skipped and logged once, and too many of them stop the run."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.text import make_printable

MAX_SKIPPED_FRACTION = 0.01
"""A data set with a larger fraction of unreadable images is damaged, and training on the rest would hide that."""
_MAX_SKIPPED_IN_SMALL_SET = 10
_MAX_SKIPPED_FRACTION_OF_SMALL_SET = 0.1
"""The smaller of these two limits holds where it is above `MAX_SKIPPED_FRACTION`: in data sets of fewer than 1,000
images, of which a few unreadable ones say little about the rest."""

_logger = logging.getLogger("sagan_tf")


def compute_max_skipped(num_examples: int) -> int:
    """Return how many images of a data set may be unreadable."""
    in_small_set = min(_MAX_SKIPPED_IN_SMALL_SET, int(_MAX_SKIPPED_FRACTION_OF_SMALL_SET * num_examples))
    return max(int(MAX_SKIPPED_FRACTION * num_examples), in_small_set)


class SkippedImages:
    """The distinct images of a data set that could not be read.

    Objects are safe for use from several threads.

    Args:
        num_examples: Images in the whole data set, readable or not.
        log: Whether to log each image. If not, the caller reports `reasons`.

    Attributes:
        error: The `UserError` that stops the run when there are too many unreadable images. None before that.
    """

    _advice = ""
    """Advice for the user after the images are repaired or removed."""

    def __init__(self, num_examples: int, *, log: bool = True) -> None:
        self.error: UserError | None = None
        self._num_examples = num_examples
        self._log = log
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())  # a lock cannot be sent to another process

    @property
    def count(self) -> int:
        """Number of distinct images that were skipped so far."""
        return len(self._reasons)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the skipped images, sorted."""
        with self._lock:
            return tuple(sorted(self._reasons))

    @property
    def reasons(self) -> dict[str, str]:
        """The reason why each skipped image could not be read, by name."""
        with self._lock:
            return dict(self._reasons)

    def add(self, name: str, reason: str) -> None:
        """Record that an image was skipped.

        Args:
            name: Path of the file or name of the record.
            reason: Why the image could not be read.

        Raises:
            UserError: More images than `compute_max_skipped` are unreadable so far.
        """
        with self._lock:
            name, reason = make_printable(name), make_printable(reason)
            if name not in self._reasons:
                self._reasons[name] = reason
                if self._log:
                    _logger.warning("skipped an unreadable image: %s: %s", name, reason)
            limit = compute_max_skipped(self._num_examples)
            if len(self._reasons) > limit:
                self.error = UserError(
                    f"data: expected at most {limit} unreadable images (1 %, but at least the smaller of 10 images and "
                    f"10 %), received {len(self._reasons)} of {self._num_examples} so far (the last is {name}: "
                    f"{reason}); each is named in the log: repair or remove these images{self._advice}"
                )
                raise self.error

    @contextlib.contextmanager
    def raise_user_errors(self) -> Iterator[None]:
        """Enter a context that replaces TensorFlow's error by a `UserError`.

        Use the context around `next(iterator)`.

        Raises:
            UserError: Too many images are unreadable. Replaces the `tf.errors.OpError` in which TensorFlow wraps it.
        """
        try:
            yield
        except tf.errors.OpError:
            if self.error is not None:
                raise self.error from None
            raise
