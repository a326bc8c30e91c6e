"""Run directories: their files, and checks that a run can resume with the given flags."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import platform
import shlex
from typing import Any

from sagan_tf.config import Config, get_option_fields
from sagan_tf.config.flagfile import FlagError, parse_flagfile
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_append, check_can_write_directory, write_atomically
from sagan_tf.tensorflow_paths import check_tensorflow_path
from sagan_tf.text import normalize_names, read_text

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
    """Paths and records of a run.

    Args:
        path: Run directory; `create` creates it.

    Raises:
        UserError: TensorFlow cannot open the path.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = pathlib.Path(os.path.expanduser(path))
        check_tensorflow_path("run_dir", self.path)
        self.flags = self.path / "flags.cfg"
        self.versions = self.path / "versions.json"
        self.startup = self.path / "startup.json"
        self.initialization = self.path / "initialization.json"
        self.metrics = self.path / "metrics.jsonl"
        self.checkpoints = self.path / "checkpoints"
        self.samples = self.path / "samples"
        self.tensorboard = self.path / "tensorboard"

    def check_can_write(self) -> None:
        """Check that the directory can be written, without creating it.

        Raises:
            UserError: A part of the directory cannot be written.
        """
        for path in (self.path, self.checkpoints, self.samples, self.tensorboard):
            check_can_write_directory(path, "run_dir")
        check_can_append(self.metrics, "run_dir")

    def create(self) -> None:
        """Create the directory if it does not exist.

        Raises:
            UserError: The directory cannot be created or written.
        """
        self.check_can_write()
        self.path.mkdir(parents=True, exist_ok=True)

    def check_not_moved(self, flagfile: pathlib.Path | None) -> None:
        """Check that the flagfile does not lie in a moved or copied run.

        Args:
            flagfile: The flagfile that `run_dir` was read from; None if `run_dir` came from another place.

        Raises:
            UserError: The flagfile lies in the directory of another run.
        """
        if flagfile is None:
            return
        holder = flagfile.parent  # may be a path that `RunDirectory` refuses
        flags, *records = (holder / path.name for path in (self.flags, self.versions, self.checkpoints))
        holds_run = flags.is_file() and any(path.exists() for path in records)
        if not holds_run or (self.path.exists() and self.path.samefile(holder)):
            return
        resume = shlex.quote(f"--run_dir={holder}")
        raise UserError(
            f"--flagfile={flagfile} lies in the directory of a run and sets run_dir to another one, {self.path}; add "
            f"{resume} after it to resume the run where it is now, or --run_dir=NEW to begin a new run with its flags"
        )

    def check_flags(self, flagfile: str, defaults: str = "") -> None:
        """Check that the run in this directory can resume with the given flags.

        Args:
            flagfile: All flags, as the run would record them now.
            defaults: All flags with their default values. A run that is older than a flag has its default value.

        Raises:
            UserError: The flags of the run cannot be read, or differ in a flag that a run cannot change.
        """
        fixed = [name for name, (_, field) in get_option_fields().items() if not field.metadata["changeable"]]
        try:
            began, given = self.read_flags(), parse_flagfile(flagfile)
        except FileNotFoundError:
            if self.checkpoints.exists():
                raise UserError(
                    f"run_dir: {self.path} has checkpoints but no {self.flags.name}; restore this file, or choose "
                    "another --run_dir"
                ) from None
            return
        except (OSError, UserError) as error:
            raise UserError(
                f"run_dir: cannot read the flags of the run in {self.flags} ({error}); restore this file, or choose "
                "another --run_dir"
            ) from error
        began = _select_flags_added_later(defaults) | began
        missing = [name for name in fixed if name not in began]
        if missing:
            raise UserError(
                f"run_dir: {self.flags} has no value of {', '.join(missing)}; restore this file, or choose another "
                "--run_dir"
            )
        differences = [
            f"{name}: expected {began[name]!r}, received {given[name]!r}"
            for name in fixed
            if began[name] != given[name]
        ]
        if differences:
            raise UserError(
                f"{self.path} holds a run with different hyperparameters: {'; '.join(differences)}. "
                "Resume with the run's own flags, or choose another --run_dir"
            )

    def read_flags(self) -> dict[str, str]:
        """Read the values of the flags in `flags.cfg`; bytes that are not UTF-8 are kept."""
        return parse_flagfile(read_text(self.flags, errors="surrogateescape"))

    def find_equal_flags(self, flagfile: str) -> set[str]:
        """Find the names of the flags with equal values in `flagfile` and in this run."""
        try:
            began = self.read_flags()
        except (OSError, UserError):  # `check_flags` reports this
            return set()
        return {name for name, value in parse_flagfile(flagfile).items() if began.get(name) == value}

    def check_data(self, num_examples: int, class_names: tuple[str, ...]) -> None:
        """Check that the run in this directory began with the same data.

        With different data, the position in the order of images would have no meaning.

        Args:
            num_examples: Number of images now.
            class_names: Names of the classes now.

        Raises:
            UserError: The data differ from those that the run began with.
        """
        began = self._read_data()
        if began is None:
            return  # the record is for people, so that a run can resume without it
        if began[0] is None:  # an imported run records only its classes
            began = num_examples, began[1]
        if (began[0], normalize_names(began[1])) != (num_examples, normalize_names(class_names)):
            raise UserError(
                f"data: the run in {self.path} began with {began[0]} images of {len(began[1])} classes; the data set "
                f"now has {num_examples} images of {len(class_names)} classes, or different class names; use the run's "
                "own data, or choose another --run_dir"
            )

    def read_class_names(self, num_classes: int | None = None) -> tuple[str, ...]:
        """Read the class names of the run's training images; empty if they are not recorded.

        Args:
            num_classes: The number of names; names of another number are not returned. None for any number.
        """
        data = self._read_data()
        return data[1] if data is not None and num_classes in (None, len(data[1])) else ()

    def _read_data(self) -> tuple[int | None, tuple[str, ...]] | None:
        """Read the recorded number of images and class names; None without a record."""
        try:
            data = json.loads(read_text(self.startup))["data"]
            return data["num_examples"], tuple(data["label_histogram"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write_records(self, flagfile: str) -> None:
        """Write `flags.cfg`, which `--flagfile` replays, and `versions.json`."""
        write_atomically(self.flags, flagfile, durable=True)
        versions = {"python": platform.python_version(), "machine": platform.machine()}
        for package in _PACKAGES:
            try:
                versions[package] = importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                continue  # this package is not installed; sagan-tf may run from its source tree
        self.write_json(self.versions, versions)

    def read_versions(self) -> dict[str, Any]:
        """Read `versions.json`; empty if the file is missing or damaged."""
        try:
            return dict(json.loads(read_text(self.versions)))
        except (OSError, ValueError, TypeError):
            return {}

    def write_json(self, path: pathlib.Path, value: Any) -> None:
        """Write a value as a JSON file."""
        write_atomically(path, json.dumps(value, indent=2) + "\n")


def open_run(path: str | os.PathLike[str]) -> tuple[RunDirectory, Config]:
    """Open the directory of a run that exists.

    Returns:
        The directory, and the configuration in its `flags.cfg`.

    Raises:
        UserError: It is not the directory of a run, or its flags cannot be read.
    """
    directory = RunDirectory(path)
    if not directory.flags.is_file():
        raise UserError(f"run_dir: {os.fspath(path)} is not the directory of a run; it has no flags.cfg")
    try:
        return directory, Config.from_flagfile(directory.flags)
    except FlagError as error:
        raise UserError(f"run_dir: {directory.flags} cannot be used: {error}") from error


def _select_flags_added_later(flagfile: str) -> dict[str, str]:
    """Select the values in a flagfile of the flags that older runs do not have."""
    later = {name for name, (_, field) in get_option_fields().items() if field.metadata["added_later"]}
    return {name: value for name, value in parse_flagfile(flagfile).items() if name in later}
