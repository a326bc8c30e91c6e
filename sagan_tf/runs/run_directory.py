"""The folder of a run: what is in it, and whether a run there can go on with the flags given."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
from typing import Any

from sagan_tf.config import option_fields
from sagan_tf.config.flagfile import read_flagfile
from sagan_tf.tensorflow_paths import check_tensorflow_path
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_append, check_can_write_directory, write_atomically
from sagan_tf.text import canonical_names, read_text

_PACKAGES = (
    "sagan-tf",
    "tensorflow",
    "tensorflow-tpu",
    "keras",
    "tensorflow-datasets",
    "tensorflow-gan",
    "numpy",
    "pillow",
)


class RunDirectory:
    """Paths of a run, and the records that it starts with.

    Args:
        path: the folder; `create` makes it.

    Raises:
        UserError: TensorFlow cannot open the path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(os.path.expanduser(path))
        check_tensorflow_path("run_dir", self.path)
        self.flags = self.path / "flags.cfg"
        self.versions = self.path / "versions.json"
        self.startup = self.path / "startup.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.tensorboard = self.path / "tensorboard"

    def check_can_write(self) -> None:
        """Raise UserError unless everything in the directory can be written; does not create the directory."""
        for path in (self.path, self.checkpoints, self.samples, self.tensorboard):
            check_can_write_directory(path, "run_dir")
        check_can_append(self.metrics, "run_dir")

    def create(self) -> None:
        """Create the directory if it does not exist; raise UserError if it cannot be created or written."""
        self.check_can_write()
        self.path.mkdir(parents=True, exist_ok=True)

    def check_not_moved(self, flagfile: pathlib.Path | None) -> None:
        """Raise UserError if the flagfile that names this directory lies in another run: one that was moved or copied.

        Args:
            flagfile: The flagfile that `run_dir` was read from; None if it was given in another way.
        """
        if flagfile is None:
            return
        holder = flagfile.parent  # which need not be a path that a run can have
        flags, *others = (holder / path.name for path in (self.flags, self.versions, self.checkpoints))
        holds_a_run = flags.is_file() and any(path.exists() for path in others)
        if not holds_a_run or (self.path.exists() and self.path.samefile(holder)):
            return
        resume = shlex.quote(f"--run_dir={holder}")
        raise UserError(
            f"--flagfile={flagfile} lies in the directory of a run and sets run_dir to another one, {self.path}; add "
            f"{resume} after it to resume the run where it is now, or --run_dir=NEW to begin a new run with its flags"
        )

    def check_flags(self, flagfile: str, defaults: str = "") -> None:
        """Raise UserError unless the run in this folder, if any, can go on with the flags in `flagfile`.

        Args:
            flagfile: every flag, as the run would record it now.
            defaults: every flag with its default value, which a run has that was begun before there was the flag.
        """
        fixed = [name for name, (_, field) in option_fields().items() if not field.metadata["changeable"]]
        try:
            began, given = self.read_flags(), read_flagfile(flagfile)
        except FileNotFoundError:
            if self.checkpoints.exists():
                raise UserError(f"run_dir: expected the flags of the run in {self.flags}, received none") from None
            return
        except (OSError, UserError) as error:
            raise UserError(f"run_dir: expected readable flags in {self.flags}, received {error}") from error
        began = _flags_added_later(defaults) | began
        missing = [name for name in fixed if name not in began]
        if missing:
            raise UserError(f"run_dir: expected every flag in {self.flags}, found no {', '.join(missing)}")
        differences = [
            f"{name}: expected {began[name]!r}, received {given[name]!r}"
            for name in fixed
            if began[name] != given[name]
        ]
        if differences:
            raise UserError(
                f"{self.path} holds a run with other hyper-parameters: {'; '.join(differences)}. "
                "Resume with the run's own flags, or choose another --run_dir"
            )

    def read_flags(self) -> dict[str, str]:
        """Read the values of the flags in `flags.cfg`; a path among them need not be UTF-8."""
        return read_flagfile(read_text(self.flags, errors="surrogateescape"))

    def equal_flags(self, flagfile: str) -> set[str]:
        """Return the names of the flags that have the same value in `flagfile` and in the run in this directory."""
        try:
            began = self.read_flags()
        except (OSError, UserError):  # `check_flags` reports this
            return set()
        return {name for name, value in read_flagfile(flagfile).items() if began.get(name) == value}

    def check_data(self, num_examples: int, class_names: tuple[str, ...]) -> None:
        """Raise UserError if the run in this folder began with other data: its order of images would mean nothing."""
        began = self._data()
        if began is None:
            return  # a record for people: a run can go on without it
        if began[0] is None:  # an imported run knows its classes only
            began = num_examples, began[1]
        if (began[0], canonical_names(began[1])) != (num_examples, canonical_names(class_names)):
            raise UserError(
                f"data: expected {began[0]} images of {len(began[1])} classes, as the run in {self.path} began, "
                f"received {num_examples} of {len(class_names)}, or other class names"
            )

    def class_names(self, num_classes: int) -> tuple[str, ...]:
        """Names of the run's classes as it began; empty if that is not known."""
        data = self._data()
        return data[1] if data is not None and len(data[1]) == num_classes else ()

    def _data(self) -> tuple[int | None, tuple[str, ...]] | None:
        """Number of images and names of classes that the run began with, if its record says so."""
        try:
            data = json.loads(read_text(self.startup))["data"]
            return data["num_examples"], tuple(data["label_histogram"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_records(self, flagfile: str) -> None:
        """Write `flags.cfg` (replay with --flagfile) and `versions.json`."""
        write_atomically(self.flags, flagfile)
        versions = {"python": platform.python_version(), "machine": platform.machine()}
        for package in _PACKAGES:
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue  # run from a source tree that was not installed
        self.write_json(self.versions, versions)

    def read_versions(self) -> dict[str, Any]:
        """Return what `versions.json` says; empty if it is not there."""
        try:
            return dict(json.loads(read_text(self.versions)))
        except (OSError, ValueError, TypeError):
            return {}

    def write_json(self, path: pathlib.Path, value: Any) -> None:
        """Write a JSON file of this folder."""
        write_atomically(path, json.dumps(value, indent=2) + "\n")


def _flags_added_later(flagfile: str) -> dict[str, str]:
    """Values in a flagfile of the flags that older runs do not have."""
    later = {name for name, (_, field) in option_fields().items() if field.metadata["added_later"]}
    return {name: value for name, value in read_flagfile(flagfile).items() if name in later}


