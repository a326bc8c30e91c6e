"""Signals that end a run: it finishes its inner loop, saves and says so; a second one ends it at once."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from types import TracebackType

from sagan_tf.errors import StoppedBySignal
from sagan_tf.runs.checkpoints import Checkpoints
from sagan_tf.training.actions.schedule import StepReport

_logger = logging.getLogger("sagan_tf")
_NAMES = ("SIGTERM", "SIGINT", "SIGUSR1")  # the last is what Slurm is asked to send before a job's time is over


class StopSignals:
    """A context in which signals that end programs are noted, and left to `StopOnSignal`.

    Python looks at signals between its own instructions only, of which there are none while an inner loop runs. So a
    thread listens to what the system writes at once: it says what happens, and ends the program at the second signal.

    Attributes:
        received: the number of the first signal; None before.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is not threading.main_thread():
            return self  # who runs a training in a thread has signals of their own in mind
        self._read, self._write = socket.socketpair()
        self._write.setblocking(False)
        self._wakeup = signal.set_wakeup_fd(self._write.fileno(), warn_on_full_buffer=False)
        for number in (getattr(signal, name) for name in _NAMES if hasattr(signal, name)):
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
        self._write.close()  # which ends the thread
        self._read.close()

    def _listen(self) -> None:
        while True:
            try:
                number = self._read.recv(1)
            except OSError:
                return
            if not number:
                return
            self._note(number[0])

    def _note(self, number: int) -> None:
        if number not in self._before:
            return
        if self.received is not None:
            os._exit(128 + number)
        self.received = number
        name = signal.Signals(number).name
        _logger.info("%s: the run stops after its current steps and saves; a second signal ends it at once", name)


class StopOnSignal:
    """Saves and stops the run once a signal has come."""

    def __init__(self, signals: StopSignals, checkpoints: Checkpoints) -> None:
        self._signals = signals
        self._checkpoints = checkpoints

    def __call__(self, report: StepReport) -> None:
        number = self._signals.received
        if number is None or report.last:  # a run that is over ends as any other
            return
        path = self._checkpoints.save()
        raise StoppedBySignal(number, f"stopped at step {report.step} and saved {path}; the same command goes on")
