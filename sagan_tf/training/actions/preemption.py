"""Several workers stop together when one of them is told to: TensorFlow's PreemptionCheckpointHandler at work."""

from __future__ import annotations

import pathlib

import tensorflow as tf

from sagan_tf.errors import StoppedBySignal
from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.training.actions.schedule import StepReport
from sagan_tf.training.actions.stop_signals import StopSignals


class StopTogether:
    """Saves and stops the run once a signal has come to any worker: all of them at the same step.

    They agree on the step by TensorFlow's coordination service, which takes up to two calls of the inner loop. That can
    be done once in a process, where there is one of these.

    Args:
        strategy: of the run.
        signals: of this worker.
        checkpoints: of the run.
        run_dir: of the run, to be named; a worker that is not the chief saves what nobody reads.
        directory: an empty one that nobody else uses.
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
        # The handler restores whatever its own manager finds, and counts calls there: it gets one that finds nothing.
        nothing = tf.train.CheckpointManager(tf.train.Checkpoint(), str(directory), max_to_keep=1)
        self._handler = tf.distribute.experimental.PreemptionCheckpointHandler(
            strategy.cluster_resolver,
            nothing,
            termination_config=tf.distribute.experimental.TerminationConfig(
                termination_watcher_fn=lambda: signals.received is not None,
                exit_fn=self._exit,
                grace_period=0,
                save_fn=checkpoints.save,
            ),
        )

    def __call__(self, report: StepReport) -> None:
        if not report.last:  # a run that is over ends as any other
            self._step = report.step
            self._handler.save_checkpoint_if_preempted()

    def _exit(self) -> None:
        # As floats, which collectives of every kind take from every device.
        # Schedulers go by the statuses of all workers: they are the same, although a signal may have come to one only.
        received = self._strategy.run(lambda: tf.constant([float(self._signals.received or 0)]))
        number = int(tf.reduce_max(self._strategy.gather(received, axis=0)).numpy())
        saved = f"stopped with all workers at step {self._step} and saved it in {self._run_dir}"
        raise StoppedBySignal(number, f"{saved}; the same command goes on")
