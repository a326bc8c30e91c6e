"""Unreadable images: skipped, named once in the log, and too many of them stop the run."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Iterator
from typing import Any

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.text import printable

LARGEST_FRACTION = 0.01
"""A data set with a larger part of unreadable images than this is damaged, and training on the rest would hide it."""

_logger = logging.getLogger("sagan_tf")


class SkippedImages:
    """The distinct images of one data set that could not be read. Safe to use from several threads.

    Attributes:
        error: the `UserError` that stops the run, once there are too many; None before.
    """

    _advice = ""
    """Recommendation for what follows once the images are repaired or removed."""

    def __init__(self, num_examples: int, *, log: bool = True) -> None:
        """Args:
        num_examples: images in the whole data set, readable or not.
        log: name each in the log; else that is left to whoever asks for `reasons`.
        """
        self.error: UserError | None = None
        self._num_examples = num_examples
        self._log = log
        self._reasons: dict[str, str] = {}
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, _lock=threading.Lock())  # which cannot be sent to another process

    @property
    def count(self) -> int:
        """How many distinct images were skipped so far."""
        return len(self._reasons)

    @property
    def names(self) -> tuple[str, ...]:
        """The skipped images, sorted by name."""
        with self._lock:
            return tuple(sorted(self._reasons))

    @property
    def reasons(self) -> dict[str, str]:
        """Why each of them could not be read, by name."""
        with self._lock:
            return dict(self._reasons)

    def add(self, name: str, reason: str) -> None:
        """Record that an image was skipped.

        Args:
            name: path of the file or name of the record.
            reason: why it could not be read.

        Raises:
            UserError: more than `LARGEST_FRACTION` of the data set's images are unreadable by now.
        """
        with self._lock:
            name, reason = printable(name), printable(reason)
            if name not in self._reasons:
                self._reasons[name] = reason
                if self._log:
                    _logger.warning("skipped an unreadable image: %s: %s", name, reason)
            if len(self._reasons) > LARGEST_FRACTION * self._num_examples:
                self.error = UserError(
                    f"data: expected at most {LARGEST_FRACTION:.0%} unreadable images, received {len(self._reasons)} "
                    f"of {self._num_examples} so far (the last one {name}: {reason}); each is named in the log: repair "
                    f"or remove them{self._advice}"
                )
                raise self.error

    @contextlib.contextmanager
    def raising_user_errors(self) -> Iterator[None]:
        """Around `next(iterator)`: turns TensorFlow's wrapping of this data set's errors back into one clear line.

        Raises:
            UserError: instead of `tf.errors.OpError`, if too many images are unreadable.
        """
        try:
            yield
        except tf.errors.OpError:
            if self.error is not None:
                raise self.error from None
            raise
