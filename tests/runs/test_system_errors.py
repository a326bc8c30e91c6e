"""Tests of errors of the machine, which become one line; all different errors pass through unchanged."""

import errno
import os
import pathlib

import pytest
import tensorflow as tf

from sagan_tf.errors import UserError, WorkerLostError
from sagan_tf.runs.system_errors import explain_system_errors, explain_write_errors

RUN_DIR = pathlib.Path("runs/a")
SPACES = ["No space left on device", "Disk quota exceeded", "File too large"]


def explain(error: BaseException, num_workers: int = 1) -> BaseException:
    """Return the error that replaces an error."""
    try:
        with explain_system_errors(RUN_DIR, num_workers=num_workers):
            raise error
    except BaseException as caught:
        return caught


def system_error(number: int, filename: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), filename)


def tensorflow_error(kind: type[tf.errors.OpError], message: str) -> tf.errors.OpError:
    return kind(None, None, message)


def assert_disk_full_error(error: BaseException) -> None:
    assert type(error) is UserError
    assert str(error).startswith("run_dir: ") and "runs/a is full" in str(error) and "resume" in str(error)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_reported_by_the_system(number):
    error = system_error(number)
    found = explain(error)
    assert_disk_full_error(found)
    assert found.__cause__ is error


def test_a_full_disk_outside_the_run_directory():
    found = explain(system_error(errno.ENOSPC, "/elsewhere/reference.npz"))
    assert "/elsewhere/reference.npz is full" in str(found) and "run_dir" not in str(found)


@pytest.mark.parametrize("text", SPACES)
@pytest.mark.parametrize(
    "kind", [tf.errors.ResourceExhaustedError, tf.errors.UnknownError, tf.errors.FailedPreconditionError]
)
@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_full_disk_reported_by_tensorflow(kind, text, num_workers):
    """TensorFlow maps a full disk to one of several errors; one of them also means too little memory."""
    found = explain(tensorflow_error(kind, f"runs/a/checkpoints/step-4_temp/part; {text} [Op:SaveV2]"), num_workers)
    assert_disk_full_error(found)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_a_file_that_can_no_longer_be_written(number):
    found = explain(system_error(number, "runs/a/metrics.jsonl"))
    assert type(found) is UserError and str(found).startswith("run_dir: ")
    assert f"runs/a/metrics.jsonl ({os.strerror(number)})" in str(found)


@pytest.mark.parametrize(
    ("error", "shape"),
    [
        (MemoryError(), ""),
        (tensorflow_error(tf.errors.ResourceExhaustedError, "failed to allocate memory"), ""),
        (
            tensorflow_error(tf.errors.ResourceExhaustedError, "OOM when allocating tensor with shape[256,64,128,9]"),
            "256 x 64 x 128 x 9",
        ),
    ],
    ids=str,
)
def test_too_little_memory(error, shape):
    found = explain(error)
    assert type(found) is UserError and str(found).startswith("training: ") and shape in str(found)
    assert "--gradient_accumulation_steps" in str(found)


@pytest.mark.slow
def test_too_little_memory_reported_by_tensorflow():
    @tf.function
    def allocate(size: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.fill(tf.stack([size, 2**24, 2**20]), 1.0))

    with (
        pytest.raises(UserError, match="training: .* 4 x 16777216 x 1048576"),
        explain_system_errors(RUN_DIR, num_workers=1),
    ):
        allocate(tf.constant(4))


def test_a_lost_worker():
    error: BaseException = tensorflow_error(tf.errors.UnavailableError, "Socket closed\nmore")
    found = explain(error, num_workers=2)
    assert isinstance(found, WorkerLostError) and found.status == 75
    assert "(Socket closed)" in str(found) and "the newest checkpoint" in str(found)
    assert explain(error) is error


@pytest.mark.parametrize(
    "error",
    [
        system_error(errno.ENOENT, "images/1.png"),
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
def test_different_errors_pass_through(error, num_workers):
    assert explain(error, num_workers) is error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (system_error(errno.ENOSPC, "runs/a/b.json"), "runs/a/b.json (No space left on device)"),
        (system_error(errno.ENOSPC), "runs/a (No space left on device)"),
        (OSError("broken"), "runs/a (broken)"),
        (
            tensorflow_error(tf.errors.ResourceExhaustedError, "runs/a/c; No space left\non it"),
            "runs/a (runs/a/c; No space left)",
        ),
    ],
)
def test_a_result_that_cannot_be_written(error, expected):
    with pytest.raises(UserError) as caught, explain_write_errors(RUN_DIR):
        raise error
    assert expected in str(caught.value)
    with pytest.raises(ValueError, match="^shapes$") as unchanged, explain_write_errors(RUN_DIR):
        raise ValueError("shapes")
    assert type(unchanged.value) is ValueError
