"""Tests of the conversion of TensorFlow's errors about lost workers; other errors are not changed."""

import pytest
import tensorflow as tf

from sagan_tf.distribution.lost_workers import convert_lost_worker_error, explain_lost_workers
from sagan_tf.errors import WorkerLostError

KINDS = [tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError]
KINDS += [tf.errors.DeadlineExceededError, tf.errors.InternalError]
MESSAGES = [
    "Collective ops is aborted by: /job:worker/replica:0/task:1 has died",
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
def test_messages_about_lost_workers(kind: type[tf.errors.OpError]) -> None:
    """The reason is the line about the worker, of limited length."""
    for message in MESSAGES:
        error = tensorflow_error(kind, f"Graph execution error:\n\n{message}{'x' * 9999}\n\t [[{{{{node while}}}}]]")
        with pytest.raises(WorkerLostError) as caught, explain_lost_workers(2, "it goes on"):
            raise error
        found = str(caught.value)
        assert caught.value.status == 75 and caught.value.__cause__ is error
        assert message in found and found.endswith("it goes on") and "\n" not in found and len(found) < 700
        assert "Graph" not in found and ("--collectives=ring" in found) == ("nccl" in message.lower())
        assert found.startswith("worker 1 ") == ("/task:1" in message)


def test_nccl_errors_of_one_worker() -> None:
    found = convert_lost_worker_error(tensorflow_error(tf.errors.InternalError, "NCCL: invalid usage"), 1, "it goes on")
    assert isinstance(found, WorkerLostError) and "--strategy=one_device" in str(found)


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
