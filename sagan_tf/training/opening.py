"""The opening of a run, new or begun, with every check that comes before something is written."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.data.sources.source import Source
from sagan_tf.runs.checkpoints import find_newest_checkpoint, restore_latest
from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.tensorflow_paths import check_readable_path
from sagan_tf.training.fine_tuning.initialization import initialize_state
from sagan_tf.training.fine_tuning.origin import WeightOrigin
from sagan_tf.training.fine_tuning.source_run import check_source_differs
from sagan_tf.training.state import TrainState, create_state
from sagan_tf.training.validation import check_config, check_flags, open_checked_data
from sagan_tf.training.worker_consistency import check_worker_consistency


class OpenedRun(NamedTuple):
    """The data and the state of a run.

    Attributes:
        source: The training images.
        config: The configuration with the number of classes.
        state: The state, restored from the newest checkpoint or initialized from another run.
        restored: The step of the checkpoint; None for a new run.
        newest: The newest checkpoint, which is not the restored one if it is damaged; None for a new run.
        origin: The origin of the weights of a new run; None if they are random.
    """

    source: Source
    config: Config
    state: TrainState
    restored: int | None
    newest: str | None
    origin: WeightOrigin | None


def check_run(config: Config) -> RunDirectory:
    """Check the configuration of a run before TensorFlow uses a device.

    Args:
        config: The run.

    Returns:
        The directory of the run.

    Raises:
        UserError: The configuration cannot work, or a flag has no effect.
    """
    check_config(config)
    run_directory = RunDirectory(config.training.run_dir)
    equal_flags = run_directory.find_equal_flags(config.to_flagfile())
    check_flags(config, unchecked=equal_flags)
    if "init_from" not in equal_flags:  # a run may have been moved to the place of its source
        check_source_differs(config.initialization.init_from, run_directory)
    return run_directory


def open_run(config: Config, strategy: tf.distribute.Strategy, run_directory: RunDirectory) -> OpenedRun:
    """Open the data of a run and create its state. Nothing is written.

    Args:
        config: The run.
        strategy: The strategy of the run.
        run_directory: The directory of the run, which need not exist.

    Returns:
        The opened run.

    Raises:
        UserError: The data or the run directory cannot be used, or the weights of `--init_from` do not fit.
    """
    source, config = open_checked_data(config, strategy)
    run_directory.check_flags(config.to_flagfile(), Config().to_flagfile())
    check_readable_path(run_directory.checkpoints)  # checkpoints that TensorFlow cannot read later
    with strategy.scope():
        state = create_state(config)
    newest = find_newest_checkpoint(run_directory.checkpoints)
    restored = restore_latest(state, run_directory.checkpoints)
    check_worker_consistency(strategy, state)
    if restored is not None:
        run_directory.check_data(source.num_examples, source.class_names)
    origin = initialize_state(config, source.class_names, state, strategy) if restored is None else None
    return OpenedRun(source, config, state, restored, newest, origin)
