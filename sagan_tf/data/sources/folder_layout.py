"""The layout of a directory of images: its files, its classes, and errors in its levels."""

from __future__ import annotations

import dataclasses
import logging
import os
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from sagan_tf.data.images.file_names import EXTENSIONS, is_ignored, is_image
from sagan_tf.errors import UserError
from sagan_tf.text import make_printable, normalize_name

_MAX_SEARCH_LEVELS = 6
"""Number of directory levels in which misplaced images are searched for."""

_logger = logging.getLogger("sagan_tf")


class LayoutError(UserError):
    """An error for a directory that does not have the layout of a data set.

    Args:
        problem: What is wrong.
        alternatives: Directories to suggest.
        purpose: Text before the suggestion, such as 'for images without labels '.
    """

    def __init__(self, problem: str, alternatives: Sequence[str | Path] = (), purpose: str = "") -> None:
        self._problem, self._alternatives, self._purpose = problem, alternatives, purpose
        super().__init__(self.message("data_dir"))

    def message(self, option: str) -> str:
        """Return the message for the option that names the directory."""
        flags = " or ".join(f"--{option}={shlex.quote(str(directory))}" for directory in self._alternatives)
        return f"{option}: {self._problem}" + (f"; {self._purpose}pass {flags}" if flags else "")


@dataclasses.dataclass(frozen=True)
class DirectoryLayout:
    """The images of a directory.

    Attributes:
        paths: Paths relative to the directory, ordered by class and then by name.
        labels: int32 [images]; all 0 if there are no classes.
        class_names: Names of the class subdirectories, sorted by their NFC form; empty if the images are in the
            directory itself.
    """

    paths: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Listing:
    images: list[str]
    directories: list[str]
    num_ignored: int


def read_directory_layout(data_dir: str) -> DirectoryLayout:
    """Find the images and classes of a data set.

    The module `file_names` decides which files are images and which are ignored. The number of other files is logged.
    Links are followed.

    Args:
        data_dir: The directory of the data set.

    Returns:
        The layout of the directory.

    Raises:
        UserError: The directory is missing, has no images, or its images are not all in it or all in subdirectories.
    """
    root = _check_directory(data_dir)
    top = _list_directory(root)
    classes = {name: _list_directory(root / name) for name in top.directories}
    _check_no_deeper_images(root, classes)
    num_ignored = top.num_ignored + sum(listing.num_ignored for listing in classes.values())
    empty = [name for name, listing in classes.items() if not listing.images]
    classes = {name: listing for name, listing in classes.items() if listing.images}
    if top.images and classes:
        name, listing = next(iter(classes.items()))
        raise LayoutError(
            f"expected images either in {root} or in its subdirectories, received both ({top.images[0]} and "
            f"{os.path.join(name, listing.images[0])}); move them to one level"
        )
    if not top.images:
        _check_classes(root, classes)
        if empty:
            _logger.warning(
                "%s: ignored %d subdirectories without images: %s", root, len(empty), make_printable(", ".join(empty))
            )
    if num_ignored:
        _logger.info("%s: ignored %d files that are not images", root, num_ignored)
    if top.images:
        return DirectoryLayout(tuple(top.images), np.zeros(len(top.images), np.int32), ())
    paths = tuple(os.path.join(name, image) for name, listing in classes.items() for image in listing.images)
    counts = [len(listing.images) for listing in classes.values()]
    return DirectoryLayout(paths, np.repeat(np.arange(len(counts), dtype=np.int32), counts), tuple(classes))


def _check_directory(data_dir: str) -> Path:
    if not data_dir:
        raise LayoutError("expected the directory of the images, received an empty path", ["DIRECTORY"])
    root = Path(data_dir)
    if not root.exists():
        raise LayoutError(f"expected a directory of images, received {data_dir}, which does not exist")
    if not root.is_dir():
        raise LayoutError(f"expected a directory of images, received {data_dir}, which is a file")
    return root


def _list_directory(directory: Path) -> _Listing:
    """Return the sorted content of a directory.

    Entries that `file_names.is_ignored` ignores are left out and not counted.
    """
    images, directories, num_ignored = [], [], 0
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if is_ignored(entry.name):
                    continue
                if _is_directory(entry):
                    directories.append(entry.name)
                elif is_image(entry):
                    images.append(entry.name)
                else:
                    num_ignored += 1
    except OSError as error:
        raise LayoutError(f"cannot read the directory {directory}: {error.strerror}") from error
    # Sorted so that the order, on which labels and resuming depend, is the same on every system.
    return _Listing(sorted(images, key=_get_sort_key), sorted(directories, key=_get_sort_key), num_ignored)


def _get_sort_key(name: str) -> tuple[str, str]:
    """Return a sort key: the NFC form of a name, and the name itself.

    The name itself orders two names with the same NFC form.
    """
    return normalize_name(name), name


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: an unreadable image, if it has the name of an image
        return False


def _check_classes(root: Path, classes: dict[str, _Listing]) -> None:
    """Raise LayoutError if there are no images, or images of one class only."""
    if not classes:
        raise LayoutError(f"found no images ({', '.join(EXTENSIONS)}, or files without an extension) in {root}")
    if len(classes) == 1:
        (name,) = classes
        raise LayoutError(
            f"expected a subdirectory for each class, received the single subdirectory {name} in {root}",
            [root / name],
            "for images without labels ",
        )


def _check_no_deeper_images(root: Path, classes: dict[str, _Listing]) -> None:
    """Check that there are no images below the class subdirectories.

    Raises:
        LayoutError: There are such images. The message suggests another directory if it can.
    """
    seen: set[str] = set()
    deeper = {name: image for name in classes if (image := _find_image_below(root / name, classes[name], seen))}
    if not deeper:
        return
    problem = f"expected images at most one level below {root}, received {next(iter(deeper.values()))}"
    if any(listing.images for listing in classes.values()):
        name, image = next(iter(deeper.items()))
        raise LayoutError(
            f"{problem}; if it is an image of class {name}, move it and the images beside it into {root / name}; "
            f"otherwise (a thumbnail, for example) move {image.parent} out of {root}"
        )
    candidates = _find_class_parents(deeper.values())
    if not candidates:
        raise LayoutError(
            f"{problem}; move the images of each class into one directory, and these directories into {root}"
        )
    raise LayoutError(problem, candidates[:4])


def _find_class_parents(images: Iterable[Path]) -> list[Path]:
    """Return the parents of class directories, two levels above `images`.

    They have at least two subdirectories with images.
    """

    def has_classes(directory: Path) -> bool:
        names = _list_directory(directory).directories
        return sum(bool(_list_directory(directory / name).images) for name in names) > 1

    return [directory for directory in sorted({image.parent.parent for image in images}) if has_classes(directory)]


def _find_image_below(directory: Path, listing: _Listing, seen: set[str], level: int = 0) -> Path | None:
    """Return an image in the subdirectories of a directory, or None.

    Subdirectories in `seen` are not searched again.
    """
    if level == _MAX_SEARCH_LEVELS:
        return None
    for name in listing.directories:
        path = os.path.realpath(directory / name)
        if path in seen:
            continue
        seen.add(path)
        below = _list_directory(directory / name)
        if below.images:
            return directory / name / below.images[0]
        if (image := _find_image_below(directory / name, below, seen, level + 1)) is not None:
            return image
    return None
