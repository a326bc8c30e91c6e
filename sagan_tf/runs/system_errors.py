"""What ends a run from outside, in one line each: a full disk, too little memory, a worker that was lost."""

from __future__ import annotations

import contextlib
import errno
import pathlib
import re
from collections.abc import Iterator

import tensorflow as tf

from sagan_tf.distribution.lost_workers import lost_worker_error
from sagan_tf.distribution.memory_errors import memory_error
from sagan_tf.errors import UserError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_SPACE = re.compile("No space left on device|Disk quota exceeded|File too large", re.IGNORECASE)
_UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS)
_GOES_ON = "the same command goes on from the newest checkpoint"
MEMORY_REMEDY = (
    "raise --gradient_accumulation_steps, or lower --global_batch_size or --base_channels, or compute with "
    "--precision=mixed_bfloat16; start a new run with another --run_dir; an existing run cannot change these"
)


@contextlib.contextmanager
def explaining_failures(run_dir: pathlib.Path, *, num_workers: int) -> Iterator[None]:
    """A context in which what the machine cannot give is told in one line.

    Args:
        run_dir: of the run.
        num_workers: of the run; with several, what TensorFlow says of a broken connection is about one of them.

    Raises:
        UserError: the disk is full, a folder cannot be written any more, or there is not enough memory.
        WorkerLost: another worker does not answer any more.
    """
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise _full_disk(error.filename or run_dir, run_dir) from error
        if error.errno in _UNWRITABLE and pathlib.Path(str(error.filename)).is_relative_to(run_dir):
            raise UserError(
                f"run_dir: expected a folder that can be written, received {error.filename} ({error.strerror})"
            ) from error
        raise
    except (MemoryError, RuntimeError) as error:
        about_memory = memory_error(error, "training", MEMORY_REMEDY)
        if about_memory is None:
            raise
        raise about_memory from error
    except tf.errors.OpError as error:
        if _NO_SPACE.search(error.message):
            raise _full_disk(run_dir, run_dir) from error
        about_memory = memory_error(error, "training", MEMORY_REMEDY)
        if about_memory is not None:
            raise about_memory from error
        lost = lost_worker_error(error, num_workers, _GOES_ON)
        if lost is not None:
            raise lost from error
        raise


@contextlib.contextmanager
def explaining_writes(path: pathlib.Path) -> Iterator[None]:
    """A context in which a result is written to a file or a folder; raises UserError if the disk does not take it."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"expected to write the result, received {error.filename or path}: {reason}") from error
    except tf.errors.OpError as error:
        raise UserError(f"expected to write the result, received {path}: {error.message.splitlines()[0]}") from error


def _full_disk(path: pathlib.Path | str, run_dir: pathlib.Path) -> UserError:
    if not pathlib.Path(str(path)).is_relative_to(run_dir):  # a reference of an evaluation, say
        return UserError(f"expected free space on the disk of {path}, found none; delete files there")
    return UserError(f"run_dir: expected free space on the disk of {path}, found none; delete files there: {_GOES_ON}")
