"""The error for a directory or an archive that a data set cannot be read from."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from sagan_tf.errors import UserError


class LayoutError(UserError):
    """An error for a directory or archive that does not have the layout of a data set.

    Args:
        problem: What is wrong.
        alternatives: Paths to suggest.
        purpose: Text before the suggestion, such as 'for images without labels '.
    """

    def __init__(self, problem: str, alternatives: Sequence[str | Path] = (), purpose: str = "") -> None:
        self._problem, self._alternatives, self._purpose = problem, alternatives, purpose
        super().__init__(self.message("data_dir"))

    def message(self, option: str) -> str:
        """Return the message for the option that names the directory or archive."""
        flags = " or ".join(f"--{option}={shlex.quote(str(path))}" for path in self._alternatives)
        return f"{option}: {self._problem}" + (f"; {self._purpose}pass {flags}" if flags else "")
