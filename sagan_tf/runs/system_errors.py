"""Errors of the machine as one line for the user: a full disk, too little memory, a lost worker."""

from __future__ import annotations

import contextlib
import errno
import pathlib
import re
from collections.abc import Iterator

import tensorflow as tf

from sagan_tf.distribution.lost_workers import convert_lost_worker_error
from sagan_tf.distribution.memory_errors import convert_memory_error
from sagan_tf.errors import UserError

_DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_SPACE = re.compile("No space left on device|Disk quota exceeded|File too large", re.IGNORECASE)
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_RESUME = "the same command resumes from the newest checkpoint"
MEMORY_REMEDY = (
    "raise --gradient_accumulation_steps, or lower --global_batch_size or --base_channels, or compute with "
    "--precision=mixed_bfloat16; start a new run with another --run_dir; an existing run cannot change these"
)


@contextlib.contextmanager
def explain_system_errors(run_dir: pathlib.Path, *, num_workers: int) -> Iterator[None]:
    """Convert errors of the machine inside a context into errors with one line.

    Args:
        run_dir: Run directory.
        num_workers: Number of workers of the run. With several workers, TensorFlow's errors about a broken connection
            are about another worker.

    Yields:
        None.

    Raises:
        UserError: The disk is full, a directory can no longer be written, or there is not enough memory.
        WorkerLostError: Another worker no longer answers.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _DISK_FULL:
            raise _make_disk_full_error(error.filename or run_dir, run_dir) from error
        if error.errno in _UNWRITABLE and pathlib.Path(str(error.filename)).is_relative_to(run_dir):
            raise UserError(
                f"run_dir: cannot write {error.filename} ({error.strerror}); check its permissions, then run the same "
                "command again to resume"
            ) from error
        raise
    except (MemoryError, RuntimeError) as error:
        about_memory = convert_memory_error(error, "training", MEMORY_REMEDY)
        if about_memory is None:
            raise
        raise about_memory from error
    except tf.errors.OpError as error:
        if _NO_SPACE.search(error.message):
            raise _make_disk_full_error(run_dir, run_dir) from error
        about_memory = convert_memory_error(error, "training", MEMORY_REMEDY)
        if about_memory is not None:
            raise about_memory from error
        lost = convert_lost_worker_error(error, num_workers, _RESUME)
        if lost is not None:
            raise lost from error
        raise


@contextlib.contextmanager
def explain_write_errors(path: pathlib.Path) -> Iterator[None]:
    """Convert write errors inside a context into `UserError`.

    Args:
        path: File or directory that the result is written to.

    Yields:
        None.

    Raises:
        UserError: The result cannot be written.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"cannot write the result to {error.filename or path} ({reason})") from error
    except tf.errors.OpError as error:
        raise UserError(f"cannot write the result to {path} ({error.message.splitlines()[0]})") from error


def _make_disk_full_error(path: pathlib.Path | str, run_dir: pathlib.Path) -> UserError:
    if not pathlib.Path(str(path)).is_relative_to(run_dir):  # for example the reference of an evaluation
        return UserError(f"the disk of {path} is full; delete files there")
    return UserError(f"run_dir: the disk of {path} is full; delete files there, then {_RESUME}")
