"""The layout of a tree of images: its files, its classes, and errors in its levels."""

from __future__ import annotations

import dataclasses
import logging
import posixpath

import numpy as np

from sagan_tf.data.images.file_names import EXTENSIONS
from sagan_tf.data.trees.layout_error import LayoutError
from sagan_tf.data.trees.tables import Table, read_table, sort_classes
from sagan_tf.data.trees.tree import FileTree, Listing, sort_paths
from sagan_tf.text import join_comma_list, make_printable

SPLIT_NAMES = {"train", "training", "val", "valid", "validation", "dev", "eval", "evaluation", "test", "testing"}
"""Names of directories that are parts of a data set rather than classes, if no directory beside them has another."""
_MAX_ALTERNATIVES = 4

_logger = logging.getLogger("sagan_tf")


@dataclasses.dataclass(frozen=True)
class DirectoryLayout:
    """The images of a directory or an archive.

    Attributes:
        paths: Paths relative to the root, ordered by class and then by name.
        labels: int32 [images]; all 0 if there are no classes.
        class_names: Names of the classes, in the order of the labels; empty if the images have no labels.
        has_table: Whether the classes are from a table, so that the paths do not tell them.
    """

    paths: tuple[str, ...]
    labels: np.ndarray
    class_names: tuple[str, ...]
    has_table: bool = False


def read_layout(
    tree: FileTree, *, are_classes_named: bool = False, allows_split_names: bool = False
) -> DirectoryLayout:
    """Find the images and classes of a data set.

    The first directory in the path of an image is its class, however deep the image lies. Images directly in the root
    have no labels. A table in the root (`trees.tables`) replaces both rules. The module `file_names` decides which
    files are images and which are ignored. The number of other files is logged.

    Args:
        tree: The files.
        are_classes_named: Whether the user has named the classes, so that their names are not questioned.
        allows_split_names: Whether `train` and `test` can be classes if the images lie directly in them.

    Returns:
        The layout of the tree.

    Raises:
        UserError: The tree or its table cannot be read, there are no images, or some images are in the root and some
            in directories.
    """
    listing = tree.list_files()
    if table := read_table(tree, listing):
        return _apply_table(tree, listing, table)
    classes = _group_by_directory(listing.images)
    loose = classes.pop("", [])
    if loose and classes:
        image = next(iter(classes.values()))[0]
        raise LayoutError(
            f"expected images either in {tree.root} or in its subdirectories, received both ({loose[0]} and {image}); "
            "move them to one level"
        )
    if not loose:
        _check_classes(tree, classes, are_classes_named, allows_split_names)
        _log_empty_directories(tree, listing)
    _log_other_files(tree, listing)
    if loose:
        return DirectoryLayout(tuple(loose), np.zeros(len(loose), np.int32), ())
    return _join_groups(classes)


def _apply_table(tree: FileTree, listing: Listing, table: Table) -> DirectoryLayout:
    """Return the layout of the images that a table lists, with its classes, or of all images without labels."""
    if not table.labels:
        _logger.info("%s: images without labels, according to %s", tree.root, table.name)
        return DirectoryLayout(tuple(listing.images), np.zeros(len(listing.images), np.int32), (), has_table=True)
    class_names = sort_classes(table.labels.values())
    groups: dict[str, list[str]] = {name: [] for name in class_names}
    for path in listing.images:
        if path in table.labels:
            groups[table.labels[path]].append(path)
    _logger.info("%s: classes from %s", tree.root, table.name)
    if num_left_out := len(listing.images) - len(table.labels):
        _logger.warning("%s: left out %d images that %s does not list", tree.root, num_left_out, table.name)
    _log_other_files(tree, dataclasses.replace(listing, num_ignored=listing.num_ignored - 1))  # without the table
    return dataclasses.replace(_join_groups(groups), has_table=True)


def _join_groups(groups: dict[str, list[str]]) -> DirectoryLayout:
    """Return the layout of the images of each class."""
    counts = [len(paths) for paths in groups.values()]
    paths = tuple(path for paths in groups.values() for path in paths)
    return DirectoryLayout(paths, np.repeat(np.arange(len(counts), dtype=np.int32), counts), tuple(groups))


def _group_by_directory(paths: tuple[str, ...] | list[str]) -> dict[str, list[str]]:
    """Return the paths by their first directory, in sorted order; those without a directory by the empty text."""
    groups: dict[str, list[str]] = {}
    for path in paths:
        first, _, rest = path.partition("/")
        groups.setdefault(first if rest else "", []).append(path)
    return {name: groups[name] for name in sort_paths(groups)}


def _log_empty_directories(tree: FileTree, listing: Listing) -> None:
    """Warn about directories of the root that could be meant as classes but have no images."""
    if empty := listing.empty_directories:
        names = make_printable(", ".join(empty))
        _logger.warning("%s: ignored %d subdirectories without images: %s", tree.root, len(empty), names)


def _log_other_files(tree: FileTree, listing: Listing) -> None:
    """Log how many files and links are not used."""
    if listing.num_skipped_links:
        _logger.info(
            "%s: ignored %d links to directories that are read by another path or contain this one",
            tree.root,
            listing.num_skipped_links,
        )
    if listing.num_ignored:
        _logger.info("%s: ignored %d files that are not images", tree.root, listing.num_ignored)


def _check_classes(
    tree: FileTree, classes: dict[str, list[str]], are_classes_named: bool, allows_split_names: bool
) -> None:
    """Check that the directories of the root can be classes.

    Raises:
        LayoutError: There are no images, a single class, or directories that are splits. The message suggests other
            directories if it can.
    """
    if not classes:
        raise LayoutError(f"found no images ({', '.join(EXTENSIONS)}, or files without an extension) in {tree.root}")
    if are_classes_named:
        return
    has_split_classes = allows_split_names and all(path.count("/") == 1 for paths in classes.values() for path in paths)
    if len(classes) == 1 or (_are_splits(classes) and not has_split_classes):
        names = ", ".join(classes)
        received = f"the single subdirectory {names}" if len(classes) == 1 else f"only splits ({names})"
        keep = "" if allows_split_names else f" (to use it as it is, pass --classes={join_comma_list(classes)})"
        roots = {root: has for paths in classes.values() for root, has in _find_roots(paths).items()}
        raise LayoutError(
            f"expected a subdirectory for each class, received {received} in {tree.root}{keep}",
            [tree.format_name(root) for root in list(roots)[:_MAX_ALTERNATIVES]],
            "" if any(roots.values()) else "for images without labels ",
        )
    _warn_about_equal_subdirectories(tree, classes)


def _are_splits(names: dict[str, list[str]]) -> bool:
    return all(name.lower() in SPLIT_NAMES for name in names)


def _cut(paths: list[str], directory: str) -> list[str]:
    """Return paths relative to a directory that contains them all or some of them."""
    return [path[len(directory) + 1 :] for path in paths if path.startswith(f"{directory}/")]


def _find_roots(paths: list[str]) -> dict[str, bool]:
    """Find the directories, at or below one of the root, that can be read as a data set.

    Args:
        paths: Images in and below the directory of the root, relative to the root.

    Returns:
        Whether a directory has classes, by directory; empty if there is no such directory.
    """
    roots: dict[str, bool] = {}
    pending = [paths]
    while pending:
        inside = pending.pop()
        directory = posixpath.commonpath({posixpath.dirname(path) for path in inside})
        groups = _group_by_directory(_cut(inside, directory))
        if "" in groups:
            if len(groups) == 1:
                roots[directory] = False
        elif not _are_splits(groups):
            roots[directory] = True
        else:
            pending += [[f"{directory}/{path}" for path in groups[name]] for name in reversed(groups)]
    return roots


def _warn_about_equal_subdirectories(tree: FileTree, classes: dict[str, list[str]]) -> None:
    """Warn if the classes could be splits of any name, each with the same classes in it."""
    below = [frozenset(_group_by_directory(_cut(paths, name))) for name, paths in classes.items()]
    if "" not in below[0] and len(below[0]) > 1 and len(set(below)) == 1:
        name = next(iter(classes))
        _logger.warning(
            "%s: each of the %d classes (%s) has the same subdirectories (%s); if these are the classes, pass "
            "--data_dir=%s",
            tree.root,
            len(classes),
            make_printable(", ".join(list(classes)[:_MAX_ALTERNATIVES])),
            make_printable(", ".join(sort_paths(below[0])[:_MAX_ALTERNATIVES])),
            make_printable(tree.format_name(name)),
        )
