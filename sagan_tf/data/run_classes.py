"""Image sets that are compared with a run that was trained on some classes or images of a data set."""

from __future__ import annotations

import logging

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.selection import select_classes
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError
from sagan_tf.text import format_names, normalize_names

_logger = logging.getLogger("sagan_tf")
_MAX_SHOWN_CLASSES = 3


def get_selected_classes(data: DataConfig, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the classes that a run was trained on; empty if its options select no classes.

    Args:
        data: The options of the run.
        class_names: The class names of its training images; empty if they are not known.

    Raises:
        UserError: The options select classes, and the names are not known.
    """
    if not data.classes and not data.exclude_classes:
        return ()
    if not class_names:
        raise UserError(
            f"{'classes' if data.classes else 'exclude_classes'}: the run has no record of its class names, which are "
            "those of the real images that it is compared with; put its startup.json back into its directory, or "
            "evaluate it without --reference where its training images are"
        )
    return class_names


def keep_classes(flag: str, text: str, source: Source, class_names: tuple[str, ...]) -> Source:
    """Leave out the images of other classes than those of a run.

    Args:
        flag: The flag that names the images, for messages.
        text: The value of the flag.
        source: The images.
        class_names: The result of `get_selected_classes`.

    Returns:
        The remaining images; their classes have the order of the run.

    Raises:
        UserError: There are classes, but none of them is a class of the run.
    """
    if not class_names:
        return source
    try:
        kept = select_classes(source, class_names)
    except UserError as error:
        raise UserError(f"{flag}={text}: {error}") from error
    if kept.num_examples < source.num_examples:
        counts = kept.num_examples, source.num_examples
        _logger.info("%s: %d of %d images of %s have classes of the run", flag, *counts, text)
    return kept


def warn_of_other_classes(flag: str, text: str, found: tuple[str, ...], class_names: tuple[str, ...]) -> None:
    """Log a warning if images that cannot be selected have other classes than those of a run.

    Args:
        flag: The flag that names the images, for the message.
        text: The value of the flag.
        found: The class names of the images; empty if they have none.
        class_names: The result of `get_selected_classes`.
    """
    if class_names and set(normalize_names(found)) != set(normalize_names(class_names)):
        received = format_names(found, _MAX_SHOWN_CLASSES) if found else "images without classes"
        _logger.warning(
            "%s: %s has statistics of all its classes (%s), but the run was trained on %s; pass the images instead, of "
            "which other classes are left out",
            *(flag, text, received, format_names(class_names, _MAX_SHOWN_CLASSES)),
        )


def check_is_not_trained_on(text: str, held_out: Source, training: Source | None) -> None:
    """Check that held-out images are neither the training images nor a data set that these are a part of.

    Args:
        text: The option `held_out`, for the message.
        held_out: The images that it names, of all classes.
        training: The training images; None if they cannot be opened, so that nothing is checked.

    Raises:
        UserError: The images are trained on.
    """
    if training is not None and held_out.digest() in (training.digest(), (training.whole or training).digest()):
        raise UserError(
            f"held_out: expected images that are not trained on, received {text}, which are the training images or "
            "contain them; pass other real images as --held_out"
        )
