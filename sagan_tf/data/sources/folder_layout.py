"""What lies in a folder of images: which files, which classes, and what is wrong with its levels."""

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
from sagan_tf.text import canonical_name, printable

_DEEPEST_LEVEL = 6
"""How far down misplaced images are looked for."""

_logger = logging.getLogger("sagan_tf")


class LayoutError(UserError):
    """A directory that is not laid out as a data set.

    Args:
        problem: What is wrong.
        alternatives: Directories to suggest.
        purpose: Text before the suggestion, such as 'for images without labels '.
    """

    def __init__(self, problem: str, alternatives: Sequence[str | Path] = (), purpose: str = "") -> None:
        self._problem, self._alternatives, self._purpose = problem, alternatives, purpose
        super().__init__(self.message("data_dir"))

    def message(self, option: str) -> str:
        """Return the message of the option that names the directory."""
        passed = " or ".join(f"--{option}={shlex.quote(str(directory))}" for directory in self._alternatives)
        return f"{option}: {self._problem}" + (f"; {self._purpose}pass {passed}" if passed else "")


@dataclasses.dataclass(frozen=True)
class FolderLayout:
    """The images of a folder.

    Attributes:
        paths: relative to the folder, ordered by class and then by name.
        labels: int32 [images]; all 0 if there are no classes.
        class_names: the names of the class subfolders, sorted by their canonical form; empty if the images lie in the
            folder itself.
    """

    paths: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class _Listing:
    images: list[str]
    folders: list[str]
    num_ignored: int


def read_folder_layout(data_dir: str) -> FolderLayout:
    """Find the images of a data set.

    `image_names` decides what is an image and what is ignored; the number of other files is logged. Links are followed.

    Args:
        data_dir: the data set's folder.

    Returns:
        Its layout.

    Raises:
        UserError: the folder is missing, holds no images, or its images are not all at one of the two levels allowed.
    """
    root = _existing_folder(data_dir)
    top = _list(root)
    classes = {name: _list(root / name) for name in top.folders}
    _check_nothing_deeper(root, classes)
    num_ignored = top.num_ignored + sum(listing.num_ignored for listing in classes.values())
    empty = [name for name, listing in classes.items() if not listing.images]
    classes = {name: listing for name, listing in classes.items() if listing.images}
    if top.images and classes:
        raise LayoutError(
            f"expected images either in {root} or in its subfolders, received both ({top.images[0]} and "
            f"{_example(classes)}); move them to one level"
        )
    if not top.images:
        _check_classes(root, classes)
        if empty:
            _logger.warning(
                "%s: %d subfolders without images are no classes: %s", root, len(empty), printable(", ".join(empty))
            )
    if num_ignored:
        _logger.info("%s: %d files that are not images were ignored", root, num_ignored)
    if top.images:
        return FolderLayout(tuple(top.images), np.zeros(len(top.images), np.int32), ())
    paths = tuple(os.path.join(name, image) for name, listing in classes.items() for image in listing.images)
    counts = [len(listing.images) for listing in classes.values()]
    return FolderLayout(paths, np.repeat(np.arange(len(counts), dtype=np.int32), counts), tuple(classes))


def _existing_folder(data_dir: str) -> Path:
    if not data_dir:
        raise LayoutError("expected the folder that holds the images, received none", ["FOLDER"])
    root = Path(data_dir)
    if not root.exists():
        raise LayoutError(f"expected a folder of images, received {data_dir}, which does not exist")
    if not root.is_dir():
        raise LayoutError(f"expected a folder of images, received {data_dir}, which is a file")
    return root


def _list(folder: Path) -> _Listing:
    """Sorted contents of one folder; what `image_names.is_ignored` names is left out and not counted."""
    images, folders, num_ignored = [], [], 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_ignored(entry.name):
                    continue
                if _is_folder(entry):
                    folders.append(entry.name)
                elif is_image(entry):
                    images.append(entry.name)
                else:
                    num_ignored += 1
    except OSError as error:
        raise LayoutError(f"expected a folder that can be read, received {folder}: {error.strerror}") from error
    # Sorted so that the order, on which labels and resuming depend, is the same on every system.
    return _Listing(sorted(images, key=_canonical_order), sorted(folders, key=_canonical_order), num_ignored)


def _canonical_order(name: str) -> tuple[str, str]:
    """Return a sort key: the canonical form, and the name itself for two names with one canonical form."""
    return canonical_name(name), name


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: an unreadable image, if its name says that it is one
        return False


def _check_classes(root: Path, classes: dict[str, _Listing]) -> None:
    """Refuse a level without images and a level that would be one class only."""
    if not classes:
        raise LayoutError(f"expected images ({', '.join(EXTENSIONS)}, or no extension) in {root}, received none")
    if len(classes) == 1:
        (name,) = classes
        raise LayoutError(
            f"expected a subfolder for each class, received the single subfolder {name} in {root}",
            [root / name],
            "for images without labels ",
        )


def _check_nothing_deeper(root: Path, classes: dict[str, _Listing]) -> None:
    """Refuse images below the class folders, and say which folder to pass instead."""
    seen: set[str] = set()
    deeper = {name: image for name in classes if (image := _first_image_below(root / name, classes[name], seen))}
    if not deeper:
        return
    problem = f"expected images at most one level below {root}, received {next(iter(deeper.values()))}"
    if any(listing.images for listing in classes.values()):
        name, image = next(iter(deeper.items()))
        raise LayoutError(
            f"{problem}; if it is an image of class {name}, move it and the images beside it into {root / name}; "
            f"otherwise (a thumbnail, for example) move {image.parent} out of {root}"
        )
    candidates = _folders_of_classes(deeper.values())
    if not candidates:
        raise LayoutError(
            f"{problem}; move the images of each class into one directory, and these directories into {root}"
        )
    raise LayoutError(problem, candidates[:4])


def _folders_of_classes(images: Iterable[Path]) -> list[Path]:
    """Of the folders two levels above `images`, those that have at least two subfolders with images."""

    def has_classes(folder: Path) -> bool:
        return sum(bool(_list(folder / name).images) for name in _list(folder).folders) > 1

    return [folder for folder in sorted({image.parent.parent for image in images}) if has_classes(folder)]


def _first_image_below(folder: Path, listing: _Listing, seen: set[str], level: int = 0) -> Path | None:
    """Return some image in the subfolders of `folder`, or None; folders that were `seen` are not looked at again."""
    if level == _DEEPEST_LEVEL:
        return None
    for name in listing.folders:
        path = os.path.realpath(folder / name)
        if path in seen:
            continue
        seen.add(path)
        below = _list(folder / name)
        if below.images:
            return folder / name / below.images[0]
        if (image := _first_image_below(folder / name, below, seen, level + 1)) is not None:
            return image
    return None


def _example(classes: dict[str, _Listing]) -> str:
    name, listing = next(iter(classes.items()))
    return os.path.join(name, listing.images[0])
