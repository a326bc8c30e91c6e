"""Atomic replacement of directories, which a server may read at any time."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pathlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence

from sagan_tf.errors import UserError

_TEMPORARY_PREFIX = ".unfinished_"
_MAX_TEMPORARY_AGE_S = 24 * 3600
"""An older temporary directory was left behind by a program that was killed, and is removed."""
NEW_DIRECTORY_ADVICE = "choose the name of a new directory"
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
"""Constants of Linux for the system call renameat2."""


@contextlib.contextmanager
def replace_directories_atomically(
    paths: Sequence[pathlib.Path], overwrite: bool = True, option: str = "output", advice: str = NEW_DIRECTORY_ADVICE
) -> Iterator[list[pathlib.Path]]:
    """Create or replace several directories, all of them or none.

    The context gives one temporary directory to fill for each path. They are renamed to `paths` when the context ends
    without an error.

    Args:
        paths: The final paths of the directories. Existing directories are replaced.
        overwrite: Whether a directory with files may exist already.
        option: The option that names the directories, for error messages.
        advice: What the user can do about a directory that exists, for the error message.

    Yields:
        The temporary directories, in the order of `paths`.

    Raises:
        UserError: If a directory cannot be written, or exists with files in it and `overwrite` is False.
    """
    missing_parents = {parent for path in paths for parent in path.parents if not parent.exists()}
    try:
        with contextlib.ExitStack() as stack:
            new_directories = [_create_sibling_directory(path, stack) for path in paths]
            yield new_directories
            with contextlib.ExitStack() as undo:
                for new, path in zip(new_directories, paths, strict=True):
                    if not overwrite:
                        check_is_new_or_empty(path, option, advice)
                    _move_into_place(new, path, overwrite)
                    undo.callback(_move_into_place, path, new, True)
                undo.pop_all()
    except OSError as error:
        raise UserError(f"{option}: cannot write {os.path.commonpath(paths)}: {error.strerror or error}") from error
    finally:
        for parent in sorted(missing_parents, reverse=True):  # parents that were created here and are still empty
            with contextlib.suppress(OSError):
                parent.rmdir()


def check_is_new_or_empty(path: pathlib.Path, option: str, advice: str = NEW_DIRECTORY_ADVICE) -> None:
    """Check that a directory can be created without replacing anything.

    Args:
        path: The directory.
        option: The option that names it, for the error message.
        advice: What the user can do about a directory that exists, for the error message.

    Raises:
        UserError: The path exists and is not an empty directory.
    """
    if path.exists() and not _is_empty_directory(path):
        raise UserError(f"{option}: {path} already exists; {advice}")


def _create_sibling_directory(path: pathlib.Path, stack: contextlib.ExitStack) -> pathlib.Path:
    """Create a hidden directory beside `path`.

    Publishing it is then a single rename, and no server loads it before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    for temporary in path.parent.glob(f"{_TEMPORARY_PREFIX}*"):
        with contextlib.suppress(OSError):
            if time.time() - temporary.stat().st_mtime > _MAX_TEMPORARY_AGE_S:
                shutil.rmtree(temporary)
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix=_TEMPORARY_PREFIX, dir=path.parent))
    new = pathlib.Path(directory, "new")
    new.mkdir()  # a subdirectory, because only its owner may read the temporary directory itself
    return new


def _move_into_place(new: pathlib.Path, path: pathlib.Path, overwrite: bool) -> None:
    """Rename `new` to `path`; an existing `path` is renamed to `new`.

    Where the system can exchange two names in one step, `path` exists at every moment.
    """
    if not path.exists() or not overwrite:
        os.rename(new, path)  # fails if files have appeared in `path` since the check
        return
    if _exchange_names(new, path):
        return
    old = new.with_name("old")
    os.rename(path, old)
    try:
        os.rename(new, path)
    except BaseException:  # includes KeyboardInterrupt
        os.rename(old, path)
        raise
    os.rename(old, new)


def _is_empty_directory(path: pathlib.Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


def _exchange_names(first: pathlib.Path, second: pathlib.Path) -> bool:
    """Exchange the names of two directories in one step, if the system can."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    result = rename(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE)
    return bool(result == 0)
