"""Checkpoints of a run from the variables that its program has saved."""

from __future__ import annotations

from pathlib import Path

from sagan_tf.cli.flags import parse_config
from sagan_tf.config import Config
from sagan_tf.config.flagfile import parse_flagfile
from sagan_tf.errors import UserError
from sagan_tf.runs.checkpoint_list import read_checkpoint_list
from sagan_tf.runs.checkpoints import Checkpoints, find_newest_checkpoint
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.runs.run_lock import lock_run_directory
from sagan_tf.runs.system_errors import explain_write_errors
from sagan_tf.training.state import create_state
from tools.lowering.storage import read_description
from tools.lowering.variables import read_variables
from tools.run_lowered_training import find_variables


def add_checkpoints(directory: Path, run_dir: str = "") -> tuple[Path, list[int]]:
    """Add a checkpoint to a run for each new file of variables.

    A file is new if its step is later than that of the run's newest checkpoint. No file of the run is removed or
    replaced.

    Args:
        directory: Directory that `write` has made.
        run_dir: Directory of the run; empty: the one with which the program was lowered.

    Returns:
        The directory of the run and the steps that were added.

    Raises:
        UserError: There is nothing to add, the files do not belong to the configuration, or the run has continued
            without the program. Nothing has been written in these cases.
    """
    description = read_description(directory)
    flags = parse_flagfile(description["flagfile"]) | ({"run_dir": run_dir} if run_dir else {})
    config = parse_config([f"--{name}={value}" for name, value in flags.items()])
    flagfile, run_directory = config.to_flagfile(), RunDirectory(config.training.run_dir)
    run_directory.check_flags(flagfile, Config().to_flagfile())
    files = _find_files_to_add(directory, description["first_step"], run_directory)
    state = create_state(config)
    for path in files.values():
        read_variables(path, state)
    run_directory.create()
    with lock_run_directory(run_directory.path), explain_write_errors(run_directory.path):
        # Another process may have begun or continued the run before this process had the lock.
        run_directory.check_flags(flagfile, Config().to_flagfile())
        files = _find_files_to_add(directory, description["first_step"], run_directory)
        run_directory.write_records(flagfile)
        if not run_directory.startup.exists():
            run_directory.write_json(run_directory.startup, description["startup"])
        keep = len(read_checkpoint_list(run_directory.checkpoints)) + len(files)
        checkpoints = Checkpoints(run_directory.checkpoints, state, keep)
        for path in files.values():
            read_variables(path, state)
            checkpoints.save()
    return run_directory.path, list(files)


def _find_files_to_add(directory: Path, first_step: int, run_directory: RunDirectory) -> dict[int, Path]:
    """Return the files of variables after a run's newest checkpoint, by step."""
    files = find_variables(directory)
    newest = find_newest_checkpoint(run_directory.checkpoints)
    reached = first_step if newest is None else int(newest.rpartition("-")[2])
    if newest is not None and reached not in (first_step, *files):
        raise UserError(
            f"run_dir: {run_directory.path} is at step {reached}; expected step {first_step}, where the program began, "
            "or a step that it saved; choose another --run_dir"
        )
    later = {step: path for step, path in sorted(files.items()) if step > reached}
    if not later:
        raise UserError(
            f"DIR: {directory} has no variables of a step after {reached}; run run_lowered_training.py first"
        )
    return later
