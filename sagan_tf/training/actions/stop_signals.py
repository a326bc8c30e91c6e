"""Signals that stop a run.

After the first signal the run finishes its current steps, saves and stops. A second signal stops it at once, except
within a second of the first: a scheduler that signals all processes of a job also signals the parent of a run, which
then sends SIGTERM.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from types import TracebackType

from sagan_tf.errors import StoppedBySignalError
from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.training.actions.schedule import StepReport

_logger = logging.getLogger("sagan_tf")
# Slurm sends SIGUSR1 before the time limit of a job, if it is requested.
_SIGNAL_NAMES = ("SIGTERM", "SIGINT", "SIGUSR1")
_SAME_REQUEST_SECONDS = 1.0


class StopSignals:
    """Context that records signals for `StopOnSignal` instead of ending the program.

    Python handles signals between its own instructions only, and executes none while an inner loop runs. Therefore a
    thread reads the signal numbers that the system writes to a socket at once. The thread logs the first signal, and
    ends the program at the second one.

    Attributes:
        received: The number of the first signal; None before.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._received_at = 0.0
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is not threading.main_thread():
            return self  # a program that trains in a thread handles signals itself
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in (getattr(signal, name) for name in _SIGNAL_NAMES if hasattr(signal, name)):
            self._before[number] = signal.signal(number, lambda *_: None)
        threading.Thread(target=self._listen, daemon=True, name="stop_signals").start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._before:
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._before.clear()
        signal.set_wakeup_fd(self._wakeup)
        self._write.close()  # this ends the thread
        self._read.close()

    def _listen(self) -> None:
        while True:
            try:
                number = self._read.recv(1)
            except OSError:
                return
            if not number:
                return
            self._record(number[0])

    def _record(self, number: int) -> None:
        if number not in self._before:
            return
        if self.received is not None:
            if time.monotonic() - self._received_at < _SAME_REQUEST_SECONDS:
                return
            os._exit(128 + number)
        self.received, self._received_at = number, time.monotonic()
        name = signal.Signals(number).name
        _logger.info("%s: the run saves and stops after its current steps; a second signal stops it at once", name)


class StopOnSignal:
    """Action that saves and stops the run after a signal."""

    def __init__(self, signals: StopSignals, checkpoints: Checkpoints) -> None:
        self._signals = signals
        self._checkpoints = checkpoints

    def __call__(self, report: StepReport) -> None:
        """Save and stop if a signal was received."""
        number = self._signals.received
        if number is None or report.last:  # a run that has ended needs no stop
            return
        path = self._checkpoints.save()
        raise StoppedBySignalError(
            number, f"stopped at step {report.step} and saved {path}; run the same command to resume"
        )
