"""Turn TensorFlow's errors about a lost worker into one line for the user."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import tensorflow as tf

from sagan_tf.errors import WorkerLost
from sagan_tf.text import one_line

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
"""Parts of the messages of TensorFlow's errors about other workers. Errors of these kinds have other causes, too."""
_NCCL = re.compile("NCCL", re.IGNORECASE)
_MAX_REASON = 300


@contextlib.contextmanager
def explain_lost_workers(num_workers: int, then: str) -> Iterator[None]:
    """Enter a context in which a worker that does not answer is a `WorkerLost`.

    Args:
        num_workers: How many take part. Of one, only NCCL's errors are explained.
        then: What happens when the command is started again, for the end of the message.
    """
    try:
        yield
    except tf.errors.OpError as error:
        explained = lost_worker_error(error, num_workers, then)
        if explained is None:
            raise
        raise explained from error


def lost_worker_error(error: tf.errors.OpError, num_workers: int, then: str) -> WorkerLost | None:
    """Return the error for the user if `error` is about another worker or the connection to it, else None.

    NCCL's errors are among these, since it reports a worker that has ended and a wrong setting of its own alike, and
    those of the GPUs of one worker too.

    Args:
        error: What TensorFlow raised.
        num_workers: How many take part. Of one, only NCCL's errors are explained.
        then: What happens when the command is started again, for the end of the message.
    """
    if not isinstance(error, _KINDS):
        return None
    if _NCCL.search(error.message):
        reason = _line_with(_NCCL, error.message)
        other = "--collectives=ring" if num_workers > 1 else "--strategy=one_device"
        return WorkerLost(
            f"NCCL, by which GPUs exchange gradients, failed ({reason}); NCCL_DEBUG=INFO in the environment makes it "
            f"log why, {other} does without it. Started again, {then}"
        )
    if num_workers < 2 or not _MESSAGE.search(error.message):
        return None
    task = re.search(r"/job:(\w+)/replica:\d+/task:(\d+)", error.message)
    who = f"{task[1]} {task[2]}" if task else "another worker"
    reason = _line_with(_MESSAGE, error.message)
    return WorkerLost(
        f"{who} does not answer any more ({reason}); look at its own output. Started again on all workers, {then}"
    )


def _line_with(pattern: re.Pattern[str], message: str) -> str:
    """Return the first line with a pattern: before it TensorFlow may name every caller of the operation that failed."""
    line = next(line for line in message.splitlines() if pattern.search(line))
    return one_line(line.strip())[:_MAX_REASON]
