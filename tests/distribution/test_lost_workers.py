"""Tests of the conversion of TensorFlow's errors about lost workers; other errors are not changed."""

from __future__ import annotations

import pytest
import tensorflow as tf

from sagan_tf.distribution.lost_workers import convert_lost_worker_error, explain_lost_workers
from sagan_tf.errors import WorkerLostError

KINDS = [tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError]
KINDS += [tf.errors.DeadlineExceededError, tf.errors.InternalError]
MESSAGES = [
    "Collective ops is aborted by: something",
    "Connecting to remote target ipv4:10.0.0.2:2222",
    "worker:1 has missed its heartbeat",
    "Connection reset by peer",
    "Socket closed",
    "failed to connect to all addresses",
    "Barrier timed out. Id: x",
    "NCCL: unhandled system error. Set NCCL_DEBUG=WARN for detail. [Op:CollectiveReduceV2]",
    "ncclRemoteError: remote process exited",
]


def tensorflow_error(kind: type[tf.errors.OpError], message: str) -> tf.errors.OpError:
    return kind(None, None, message)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("message", MESSAGES)
def test_messages_about_lost_workers(kind: type[tf.errors.OpError], message: str) -> None:
    found = convert_lost_worker_error(tensorflow_error(kind, f"{message}\nmore"), 2, "it goes on")
    assert isinstance(found, WorkerLostError) and found.status == 75
    assert message in str(found) and str(found).endswith("it goes on") and "\n" not in str(found)
    assert ("--collectives=ring" in str(found)) == ("nccl" in message.lower())


def test_message_names_the_worker() -> None:
    message = "Collective ops is aborted by: /job:worker/replica:0/task:1 has died"
    found = convert_lost_worker_error(tensorflow_error(tf.errors.UnavailableError, message), 2, "")
    assert str(found).startswith("worker 1 ")


def test_nccl_errors_of_one_worker() -> None:
    found = convert_lost_worker_error(tensorflow_error(tf.errors.InternalError, "NCCL: invalid usage"), 1, "it goes on")
    assert isinstance(found, WorkerLostError) and "--strategy=one_device" in str(found)


def test_reason_is_the_line_about_the_worker() -> None:
    callers = "Graph execution error:\n\nDetected at node while/CollectiveReduceV2 defined at (most recent call last):"
    message = f"{callers}\nCollective ops is aborted by: Connection reset by peer\n\t [[{{{{node while}}}}]]"
    found = str(convert_lost_worker_error(tensorflow_error(tf.errors.UnavailableError, message), 2, "it goes on"))
    assert "(Collective ops is aborted by: Connection reset by peer)" in found and "Detected" not in found


def test_long_reason_is_shortened() -> None:
    error = tensorflow_error(tf.errors.InternalError, "NCCL " + "x" * 10_000)
    assert len(str(convert_lost_worker_error(error, 2, ""))) < 700


@pytest.mark.parametrize(
    ("error", "num_workers"),
    [
        (tensorflow_error(tf.errors.UnavailableError, "Socket closed"), 1),
        (tensorflow_error(tf.errors.InternalError, "another reason"), 2),
        (tensorflow_error(tf.errors.InvalidArgumentError, "Socket closed"), 2),
    ],
)
def test_other_errors_are_not_changed(error: tf.errors.OpError, num_workers: int) -> None:
    assert convert_lost_worker_error(error, num_workers, "") is None
    with pytest.raises(tf.errors.OpError) as caught, explain_lost_workers(num_workers, ""):
        raise error
    assert caught.value is error


def test_context_converts_errors() -> None:
    error = tensorflow_error(tf.errors.UnavailableError, "Socket closed")
    with pytest.raises(WorkerLostError) as caught, explain_lost_workers(2, "it goes on"):
        raise error
    assert caught.value.__cause__ is error
