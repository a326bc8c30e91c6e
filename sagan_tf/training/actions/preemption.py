"""The action that stops all workers at the same step."""

from __future__ import annotations

import pathlib

import tensorflow as tf

from sagan_tf.errors import StoppedBySignalError
from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.actions.stop_signals import StopSignals


class StopAllWorkers:
    """Action that saves and stops all workers at the same step after a signal.

    It is enough if one worker receives the signal. The workers agree on the step by TensorFlow's
    `PreemptionCheckpointHandler`, which takes up to two calls of the inner loop. The handler can be used once in a
    process, so create only one action in a process.

    Args:
        strategy: The strategy of the run.
        signals: The signals of this worker.
        checkpoints: The checkpoints of the run.
        run_dir: The run directory, for the message; workers other than the chief save elsewhere.
        directory: An empty directory that nothing else uses.
    """

    def __init__(
        self,
        strategy: tf.distribute.MultiWorkerMirroredStrategy,
        signals: StopSignals,
        checkpoints: Checkpoints,
        run_dir: pathlib.Path,
        directory: pathlib.Path,
    ) -> None:
        self._strategy = strategy
        self._signals = signals
        self._run_dir = run_dir
        self._step = 0
        # The handler restores what its checkpoint manager finds, and counts calls there. This manager finds nothing.
        empty_manager = tf.train.CheckpointManager(tf.train.Checkpoint(), str(directory), max_to_keep=1)
        self._handler = tf.distribute.experimental.PreemptionCheckpointHandler(
            strategy.cluster_resolver,
            empty_manager,
            termination_config=tf.distribute.experimental.TerminationConfig(
                termination_watcher_fn=lambda: signals.received is not None,
                exit_fn=self._exit,
                grace_period=0,
                save_fn=checkpoints.save,
            ),
        )

    def __call__(self, report: StepReport) -> None:
        """Save and stop if a worker has received a signal."""
        if not report.last:  # a run that has ended needs no stop
            self._step = report.step
            self._handler.save_checkpoint_if_preempted()

    def _exit(self) -> None:
        # All workers exit with the same status, which schedulers expect, even if only one has received the signal.
        # The signal number is a float, because every kind of collective accepts floats on every device.
        received = self._strategy.run(lambda: tf.constant([float(self._signals.received or 0)]))
        number = int(tf.reduce_max(self._strategy.gather(received, axis=0)).numpy())
        saved = f"stopped with all workers at step {self._step} and saved it in {self._run_dir}"
        raise StoppedBySignalError(number, f"{saved}; run the same command to resume")
