"""The outcomes of many requests, and a comparison of repeated images."""

from __future__ import annotations

import collections
import hashlib
import threading
from collections.abc import Sequence

GOOD_ANSWERED, BAD_REFUSED = "good requests answered", "bad requests refused"
COMPARED = "images compared with an earlier one"
GOOD_FAILED, WRONG_IMAGES = "good requests that failed", "wrong images"
BAD_ANSWERED, BAD_FAILED = "bad requests answered", "bad requests that failed otherwise"

_SUCCESSES = (GOOD_ANSWERED, BAD_REFUSED, COMPARED)
_MAX_MESSAGES = 5

Key = tuple[int, int, float]
"""Seed, label and truncation of an image."""


class RequestLog:
    """The outcomes of all requests so far. Threads may share it.

    Attributes:
        counts: Number of events, by outcome.
        messages: The messages of the first failures.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._digests: dict[Key, str] = {}
        self.counts: collections.Counter[str] = collections.Counter()
        self.messages: list[str] = []

    @property
    def num_failures(self) -> int:
        """Number of events that are not successes."""
        return sum(count for outcome, count in self.counts.items() if outcome not in _SUCCESSES)

    def check_files(self, keys: Sequence[Key], files: Sequence[bytes]) -> None:
        """Check that files are PNG files, and equal to earlier files of the same keys."""
        for key, file in zip(keys, files, strict=True):
            digest = hashlib.sha256(file).hexdigest()
            with self._lock:
                is_known = key in self._digests
                is_correct = self._digests.setdefault(key, digest) == digest and file.startswith(b"\x89PNG")
            self.add(COMPARED, is_known)
            if not is_correct:
                self.add_failure(WRONG_IMAGES, f"seed, label, truncation {key}: expected the same PNG file as before")

    def add(self, outcome: str, times: int = 1) -> None:
        """Count a success."""
        with self._lock:
            self.counts[outcome] += times

    def add_failure(self, outcome: str, message: str) -> None:
        """Count a failure, and keep the messages of the first 5."""
        with self._lock:
            self.counts[outcome] += 1
            if len(self.messages) < _MAX_MESSAGES:
                self.messages.append(f"{outcome}: {message}")
