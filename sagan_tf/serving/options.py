"""Options of `python -m sagan_tf.serving.client`."""

from __future__ import annotations

import dataclasses
import os
import pathlib

from sagan_tf.config.dependent_options import CLIENT, check_dependent_fields
from sagan_tf.config.dependent_options.client import is_sheet_path
from sagan_tf.config.option import check_given, option
from sagan_tf.config.shared_options import first_seed_option, labels_option, overwrite_option, truncation_option
from sagan_tf.errors import UserError
from sagan_tf.serving.contract import MAX_BATCH_SIZE, MODEL_NAME

MAX_ROWS = 10
"""Number of rows of a sheet if no labels are given."""
DEFAULT_COLUMNS, DEFAULT_NUM_SAMPLES = 8, 100
_MAX_SEED = 2**62
"""The seeds of the images after the first one also fit into 64 bits."""
_UNSUPPORTED_SUFFIXES = (".jpg", ".jpeg", ".html", ".npz", ".npy", ".zip")
"""Suffixes of files that this command does not write; a directory with such a name would be an error."""


@dataclasses.dataclass(frozen=True)
class ClientOptions:
    """The server, the images and the output."""

    server: str = option("", "HOST:PORT of the gRPC interface, or with --rest of the REST interface.")
    output: str = option("", "A .png file for a sheet with one row per class, or a directory for one file per image.")
    rest: bool = option(False, "Use REST instead of gRPC.")
    model: str = option(MODEL_NAME, "Name of the model.")
    version: int | None = option(None, "Version of the model; unset: the newest.")
    labels: tuple[str, ...] = labels_option(
        "number or, with --model_card, by name",
        f"all classes of the card, in a sheet at most {MAX_ROWS}; without a card class 0",
    )
    model_card: str = option("", "model_card.json of the exported model, with the classes and their names.")
    seed: int = first_seed_option()
    columns: int | None = option(None, f"Number of images in a row of a sheet; unset: {DEFAULT_COLUMNS}.")
    num_samples: int | None = option(None, f"Number of images in a directory; unset: {DEFAULT_NUM_SAMPLES}.")
    truncation: float | None = truncation_option()
    timeout: float = option(60.0, f"Seconds to wait for {MAX_BATCH_SIZE} images.")
    overwrite: bool = overwrite_option("an existing output")

    def __post_init__(self) -> None:
        check_given(self, "server", "output")
        if self.get_path().suffix.lower() in _UNSUPPORTED_SUFFIXES:
            raise UserError(f"output: expected a .png file or a directory, received {self.output!r}")
        check_dependent_fields(CLIENT, self)
        for name in ("columns", "num_samples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name}: expected at least 1, received {value}")
        if not 0 <= self.seed <= _MAX_SEED:
            raise UserError(f"seed: expected 0 to {_MAX_SEED}, received {self.seed}")

    def get_path(self) -> pathlib.Path:
        """Return the path of the output."""
        return pathlib.Path(os.path.expanduser(self.output))

    @property
    def is_sheet(self) -> bool:
        """Whether the output is one file with a sheet of images, and not a directory."""
        return is_sheet_path(self.output)
