"""Image sets that are compared with a run that was trained on some classes of a data set."""

from __future__ import annotations

import logging

from sagan_tf.config import DataConfig
from sagan_tf.data.sources.selection import select_classes
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError

_logger = logging.getLogger("sagan_tf")


def get_selected_classes(data: DataConfig, class_names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names of the classes that a run was trained on; empty if its options select no classes.

    Args:
        data: The options of the run.
        class_names: The class names of its training images; empty if they are not known.
    """
    return (class_names or data.classes) if data.classes or data.exclude_classes else ()


def keep_classes(flag: str, text: str, source: Source, class_names: tuple[str, ...]) -> Source:
    """Leave out the images of other classes than those of a run.

    Args:
        flag: The flag that names the images, for messages.
        text: The value of the flag.
        source: The images.
        class_names: The result of `get_selected_classes`.

    Raises:
        UserError: There are classes, but none of them is a class of the run.
    """
    if not class_names:
        return source
    try:
        kept = select_classes(source, class_names)
    except UserError as error:
        raise UserError(f"{flag}={text}: {error}") from error
    if kept is not source:
        counts = kept.num_examples, source.num_examples
        _logger.info("%s: %d of %d images of %s have classes of the run", flag, *counts, text)
    return kept


def check_does_not_contain(text: str, held_out: Source, training: Source | None) -> None:
    """Raise UserError if held-out images are the data set that the training images are a part of."""
    if training is not None and training.whole is not None and held_out.digest() == training.whole.digest():
        raise UserError(
            f"held_out: expected images that are not trained on, received {text}, which the training images are a part "
            "of; pass other real images as --held_out"
        )
