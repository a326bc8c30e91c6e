"""Conversion of TensorFlow's errors about a lost worker to one line for the user."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from sagan_tf.errors import WorkerLostError
from sagan_tf.text import make_single_line

_KINDS = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
    tf.errors.InternalError,
)
_MESSAGE = re.compile(
    "Collective ops is aborted|remote target|heartbeat|Connection reset|Socket closed|failed to connect|"
    "Barrier timed out",
    re.IGNORECASE,
)
"""Parts of the messages of TensorFlow's errors about other workers. These error types have other causes, too."""
_NCCL = re.compile("NCCL", re.IGNORECASE)
_MAX_REASON_LENGTH = 300


@contextlib.contextmanager
def explain_lost_workers(num_workers: int, on_restart: str) -> Iterator[None]:
    """Convert errors about lost workers that are raised inside the context.

    Args:
        num_workers: The number of workers. With one worker, only NCCL's errors are converted.
        on_restart: The effect of starting the command again, for the end of the message.

    Raises:
        WorkerLostError: A worker does not answer, or NCCL failed.
    """
    try:
        yield
    except tf.errors.OpError as error:
        explained = convert_lost_worker_error(error, num_workers, on_restart)
        if explained is None:
            raise
        raise explained from error


def convert_lost_worker_error(error: tf.errors.OpError, num_workers: int, on_restart: str) -> WorkerLostError | None:
    """Convert an error about another worker to an error for the user.

    All errors of NCCL are included, because NCCL reports a worker that has ended in the same way as a wrong setting,
    and the GPUs of one worker use NCCL, too.

    Args:
        error: An error of TensorFlow.
        num_workers: The number of workers. With one worker, only NCCL's errors are converted.
        on_restart: The effect of starting the command again, for the end of the message.

    Returns:
        The error for the user; None if the error is not about another worker or the connection to it.
    """
    if not isinstance(error, _KINDS):
        return None
    if _NCCL.search(error.message):
        reason = _find_line(_NCCL, error.message)
        alternative = "--collectives=ring" if num_workers > 1 else "--strategy=one_device"
        return WorkerLostError(
            f"NCCL, which GPUs exchange gradients with, failed ({reason}); set NCCL_DEBUG=INFO in the environment to "
            f"see the reason in its log, or pass {alternative} to train without NCCL. Started again, {on_restart}"
        )
    if num_workers < 2 or not _MESSAGE.search(error.message):
        return None
    task = re.search(r"/job:(\w+)/replica:\d+/task:(\d+)", error.message)
    worker = f"{task[1]} {task[2]}" if task else "another worker"
    reason = _find_line(_MESSAGE, error.message)
    return WorkerLostError(
        f"{worker} no longer answers ({reason}); its own output may say why. Started again on all workers, {on_restart}"
    )


def _find_line(pattern: re.Pattern[str], message: str) -> str:
    """Return the first line with a match; the lines before it may list every caller of the failed operation."""
    line = next(line for line in message.splitlines() if pattern.search(line))
    return make_single_line(line.strip())[:_MAX_REASON_LENGTH]
