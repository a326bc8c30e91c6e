"""What ends a run from outside gets one line; everything else passes through as it is."""

from __future__ import annotations

import errno
import os
import pathlib

import pytest
import tensorflow as tf

from sagan_tf.errors import UserError, WorkerLost
from sagan_tf.training.failures import explaining_failures, explaining_writes

RUN_DIR = pathlib.Path("runs/a")
FULL = (
    "run_dir: expected free space on the disk of runs/a, found none; delete files there: the same command goes on from "
    "the newest checkpoint"
)
ADVICE = (
    "; raise --gradient_accumulation_steps, or lower --global_batch_size or --base_channels, or compute with "
    "--precision=mixed_bfloat16; start a new run with another --run_dir; an existing run cannot change these"
)
SPACES = ["No space left on device", "Disk quota exceeded", "File too large"]


def explained(error: BaseException, num_workers: int = 1) -> BaseException:
    """What becomes of an error."""
    with pytest.raises(BaseException) as caught, explaining_failures(RUN_DIR, num_workers=num_workers):
        raise error
    return caught.value


def system_error(number: int, filename: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), filename)


def tensorflow_error(kind: type[tf.errors.OpError], message: str) -> tf.errors.OpError:
    return kind(None, None, message)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_as_the_system_says_it(number: int) -> None:
    error = system_error(number)
    found = explained(error)
    assert type(found) is UserError and str(found) == FULL and found.__cause__ is error


def test_a_full_disk_that_is_not_the_runs() -> None:
    found = explained(system_error(errno.ENOSPC, "/elsewhere/reference.npz"))
    assert str(found) == "expected free space on the disk of /elsewhere/reference.npz, found none; delete files there"


@pytest.mark.parametrize("text", SPACES)
@pytest.mark.parametrize(
    "kind", [tf.errors.ResourceExhaustedError, tf.errors.UnknownError, tf.errors.FailedPreconditionError]
)
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_full_disk_as_tensorflow_says_it(kind: type, text: str, num_workers: int) -> None:
    """Which maps it to one of several of its errors, of which one is that of too little memory."""
    found = explained(tensorflow_error(kind, f"runs/a/checkpoints/step-4_temp/part; {text} [Op:SaveV2]"), num_workers)
    assert type(found) is UserError and str(found) == FULL


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_what_cannot_be_written_any_more(number: int) -> None:
    found = explained(system_error(number, "runs/a/metrics.jsonl"))
    received = f"received runs/a/metrics.jsonl ({os.strerror(number)})"
    assert str(found) == f"run_dir: expected a folder that can be written, {received}"
    assert type(found) is UserError


def test_too_little_memory() -> None:
    start = "training: expected enough memory, received too little"
    assert str(explained(MemoryError())) == start + ADVICE
    message = (
        "OOM when allocating tensor with shape[256,64,128,128] and type float on /device:GPU:0 by allocator GPU_0_bfc"
    )
    found = explained(tensorflow_error(tf.errors.ResourceExhaustedError, message))
    assert type(found) is UserError and str(found) == f"{start} for a tensor of 256 x 64 x 128 x 128{ADVICE}"
    other = tensorflow_error(tf.errors.ResourceExhaustedError, "failed to allocate memory")
    assert str(explained(other)) == start + ADVICE


@pytest.mark.parametrize("compiled", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_too_little_memory_in_tensorflows_own_words(compiled: bool) -> None:
    """More than any machine has, eagerly and in a graph."""

    def ask(size: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.fill(tf.stack([size, 2**24, 2**20]), 1.0))

    with (
        pytest.raises(UserError, match=r"received too little for a tensor of 4 x 16777216 x 1048576; raise"),
        explaining_failures(RUN_DIR, num_workers=1),
    ):
        (tf.function(ask) if compiled else ask)(tf.constant(4))


def test_a_lost_worker() -> None:
    error = tensorflow_error(tf.errors.UnavailableError, "Socket closed\nmore")
    found = explained(error, num_workers=2)
    assert isinstance(found, WorkerLost) and found.status == 75 and found.__cause__ is error
    goes_on = "Started again on all workers, the same command goes on from the newest checkpoint"
    assert (
        str(found) == f"another worker does not answer any more (Socket closed); look at its own output. {goes_on}"
    )
    assert explained(error) is error


@pytest.mark.parametrize(
    "error",
    [
        system_error(errno.ENOENT, "pictures/1.png"),
        system_error(errno.EIO),
        ValueError("shapes"),
        UserError("flag: expected 1, received 2"),
        KeyboardInterrupt(),
        tensorflow_error(tf.errors.InvalidArgumentError, "shapes"),
        tensorflow_error(tf.errors.DataLossError, "corrupted record at 12"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("num_workers", [1, 2])
def test_others_pass_through(error: BaseException, num_workers: int) -> None:
    assert explained(error, num_workers) is error


def test_no_failure_is_none() -> None:
    with explaining_failures(RUN_DIR, num_workers=2), explaining_writes(RUN_DIR):
        pass


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (system_error(errno.ENOSPC, "runs/a/b.json"), "runs/a/b.json: No space left on device"),
        (system_error(errno.ENOSPC), "runs/a: No space left on device"),
        (OSError("broken"), "runs/a: broken"),
        (
            tensorflow_error(tf.errors.ResourceExhaustedError, "runs/a/c; No space left\non it"),
            "runs/a: runs/a/c; No space left",
        ),
    ],
)
def test_a_result_that_cannot_be_written(error: Exception, expected: str) -> None:
    with pytest.raises(UserError) as caught, explaining_writes(RUN_DIR):
        raise error
    assert str(caught.value) == f"expected to write the result, received {expected}"
    with pytest.raises(ValueError, match="^shapes$") as other, explaining_writes(RUN_DIR):
        raise ValueError("shapes")
    assert type(other.value) is ValueError
