"""Folders that appear whole or not at all, however a program ends: servers look at them all the time."""

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

_MARK = ".unfinished_"
_LEFT_OVER_S = 24 * 3600
"""Age from which on an unfinished folder is one that a killed program has left."""
_HERE, _EXCHANGE = -100, 2  # AT_FDCWD and RENAME_EXCHANGE of Linux


@contextlib.contextmanager
def whole_folders(paths: Sequence[pathlib.Path], overwrite: bool = True) -> Iterator[list[pathlib.Path]]:
    """A context that gives a folder to fill for each path; they get these names at its end, all or none.

    Args:
        paths: what the folders will be called; what is there goes.
        overwrite: whether something may be there.

    Raises:
        UserError: a folder cannot be written, or is there and may not be replaced.
    """
    above = {folder for path in paths for folder in path.parents if not folder.exists()}
    try:
        with contextlib.ExitStack() as stack:
            news = [_folder_beside(path, stack) for path in paths]
            yield news
            with contextlib.ExitStack() as undo:
                for new, path in zip(news, paths, strict=True):
                    _take_place(new, path, overwrite)
                    undo.callback(_take_place, path, new, True)
                undo.pop_all()
    except OSError as error:
        where = os.path.commonpath(paths)
        raise UserError(f"output: expected to write {where}, received {error.strerror or error}") from error
    finally:
        for folder in sorted(above, reverse=True):  # those that were made and have stayed empty
            with contextlib.suppress(OSError):
                folder.rmdir()


def _folder_beside(path: pathlib.Path, stack: contextlib.ExitStack) -> pathlib.Path:
    """Create a hidden directory beside `path`, so that publishing it is one rename and no server loads it before."""
    path.parent.mkdir(parents=True, exist_ok=True)
    for left_over in path.parent.glob(f"{_MARK}*"):
        with contextlib.suppress(OSError):
            if time.time() - left_over.stat().st_mtime > _LEFT_OVER_S:
                shutil.rmtree(left_over)
    new = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=_MARK, dir=path.parent)), "new")
    new.mkdir()  # not the temporary one itself, which others may not read
    return new


def _take_place(new: pathlib.Path, path: pathlib.Path, overwrite: bool) -> None:
    """Give `new` the name `path`. What has that name is `new` afterwards, and never missing where that is possible."""
    if not path.exists():
        os.rename(new, path)
        return
    if not overwrite:
        raise UserError(f"output: expected no export there yet, received {path}; --overwrite replaces it")
    if _exchange(new, path):
        return
    old = new.with_name("old")
    os.rename(path, old)
    try:
        os.rename(new, path)
    except BaseException:  # an interruption from the keyboard too
        os.rename(old, path)
        raise
    os.rename(old, new)


def _exchange(first: pathlib.Path, second: pathlib.Path) -> bool:
    """Swap the names of two folders in one step, if the system can."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    return bool(rename(_HERE, os.fsencode(first), _HERE, os.fsencode(second), _EXCHANGE) == 0)
