"""The part of a data set that options choose: some of its classes, and some of the images of each class."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from sagan_tf.class_labels import find_labels
from sagan_tf.config import DataConfig
from sagan_tf.config.image_selection import SELECTION_OPTIONS, count_fraction
from sagan_tf.data.sources.selectable import SelectableSource
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.text import format_names, normalize_name, normalize_names

_logger = logging.getLogger("sagan_tf")
_MAX_SHOWN_CLASSES = 3


def select_images(source: Source, data_config: DataConfig) -> Source:
    """Return the part of a data set that the options in `image_selection.SELECTION_OPTIONS` choose.

    Args:
        source: The whole data set.
        data_config: The options.

    Returns:
        The part, in the order of the classes and then of the data set; the data set itself if the options choose all.

    Raises:
        UserError: A class does not exist, no class remains, or the data set does not support an option.
    """
    used = [name for name in SELECTION_OPTIONS if getattr(data_config, name) != getattr(DataConfig(), name)]
    if not used:
        return source
    if not isinstance(source, SelectableSource):
        raise UserError(f"{used[0]}: cannot be used with {source.name}, of which no images can be selected")
    part = _select_part(source, data_config)
    part.whole = source
    _logger.info("%s: selected %d of %d images", source.name, part.num_examples, source.num_examples)
    return part


def select_classes(source: Source, class_names: tuple[str, ...]) -> Source:
    """Return a data set without the images of classes that are not in `class_names`.

    Args:
        source: The data set.
        class_names: Names of classes; it does not matter whether the data set has them.

    Returns:
        The data set with its remaining classes in the order of `class_names`; the data set itself if these are all of
        its classes in its own order.

    Raises:
        UserError: The data set has none of the classes, or cannot leave out other classes.
    """
    labels = {normalize_name(name): label for label, name in enumerate(source.class_names)}
    kept = [labels[name] for name in normalize_names(class_names) if name in labels]
    if kept == list(range(len(source.class_names))):
        return source
    if not kept:
        raise UserError(
            f"expected images of the classes {format_names(class_names, _MAX_SHOWN_CLASSES)}, received only other "
            f"classes ({format_names(source.class_names, _MAX_SHOWN_CLASSES)}) in {source.name}"
        )
    if not isinstance(source, SelectableSource):
        if len(kept) == len(source.class_names):
            return source
        other = next(name for label, name in enumerate(source.class_names) if label not in kept)
        raise UserError(f"the class {other!r} cannot be left out of {source.name}, of which no images can be selected")
    return _keep(source, kept, _group_by_label(source, kept))


def _select_part(source: SelectableSource, options: DataConfig) -> SelectableSource:
    kept = _find_kept_labels(source, options)
    groups = _group_by_label(source, kept) if kept else [np.arange(source.num_examples)]
    if options.max_images_per_class or options.data_fraction < 1:
        groups = [_choose(source, group, _count_chosen(len(group), options)) for group in groups]
    try:
        return _keep(source, kept, groups)
    except UserError as error:
        raise UserError(f"{'classes' if options.classes else 'exclude_classes'}: {error}") from error


def _group_by_label(source: SelectableSource, kept: list[int]) -> list[np.ndarray]:
    """Return the indices of the images of each kept label."""
    labels = source.get_labels()
    return [np.flatnonzero(labels == label) for label in kept]


def _keep(source: SelectableSource, kept: list[int], groups: list[np.ndarray]) -> SelectableSource:
    """Return a source of one group of images for each kept label; without labels there is one group.

    Raises:
        UserError: No group has images.
    """
    if not any(map(len, groups)):
        names = format_names([source.class_names[label] for label in kept], _MAX_SHOWN_CLASSES)
        raise UserError(
            f"classes: expected at least one image of the classes {names} in {source.name}, received 0 images; choose "
            "classes that have images"
        )
    new_labels: np.ndarray = np.repeat(np.arange(len(groups), dtype=np.int32), [len(group) for group in groups])
    class_names = tuple(source.class_names[label] for label in kept)
    return source.select(np.concatenate(groups), new_labels, class_names)


def _find_kept_labels(source: SelectableSource, options: DataConfig) -> list[int]:
    """Return the labels of the classes that are used, in their new order; none if the images have no labels."""
    names = source.class_names
    for option in ("classes", "exclude_classes"):
        if getattr(options, option) and not names:
            raise UserError(
                f"{option}: cannot be used with {source.name}, whose images have no classes; --max_images_per_class "
                "and --data_fraction select a part of all images"
            )
    if options.classes:
        kept = _find_named_labels(source, "classes", options.classes)
        if len(set(kept)) < len(kept):
            repeated = next(names[label] for label in kept if kept.count(label) > 1)
            raise UserError(f"classes: expected each class once, received {repeated!r} by name and by number")
        return kept
    kept = list(range(len(names)))
    if options.exclude_classes:
        excluded = _find_named_labels(source, "exclude_classes", options.exclude_classes)
        kept = [label for label in kept if label not in excluded]
    if names and not kept:
        raise UserError(f"exclude_classes: no class of {source.name} remains; leave out fewer classes")
    return kept


def _find_named_labels(source: Source, option: str, wanted: Sequence[str]) -> list[int]:
    """Return the labels of classes that are given by name, or by number if a number cannot be mistaken for a name."""
    names = source.class_names
    if all(name.isdecimal() for name in names) and (unknown := [text for text in wanted if text not in names]):
        raise UserError(
            f"{option}: expected names of classes of {source.name} ({format_names(names, _MAX_SHOWN_CLASSES)}), which "
            f"are numbers, received {unknown[0]!r}"
        )
    return find_labels(wanted, len(names), names, option)


def _count_chosen(count: int, options: DataConfig) -> int:
    """Return how many of `count` images of a class are used."""
    chosen = count_fraction(count, options.data_fraction)
    return min(chosen, options.max_images_per_class) if options.max_images_per_class else chosen


def _choose(source: SelectableSource, group: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` images in `group` whose ranks are first, in the same order; a larger `count` adds images."""
    ranks = source.get_ranks(group)
    order = sorted(range(len(group)), key=ranks.__getitem__)
    return group[sorted(order[:count])]
