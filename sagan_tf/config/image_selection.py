"""Options that choose a part of the images of a data set."""

from __future__ import annotations

import math
from typing import Any

from sagan_tf.config.option import check_at_least_zero, check_fraction_above_zero, option
from sagan_tf.errors import UserError
from sagan_tf.text import find_equal_names, join_comma_list

SELECTION_OPTIONS = ("classes", "exclude_classes", "max_images_per_class", "data_fraction")
"""Names of the options."""
_MAX_DECIMALS = 9
"""Products of a fraction and a count are rounded to these, so that 0.1 x 30 is 3 and not 3.0000000000000004."""


def classes_option() -> Any:
    """Return the option that names the classes to use."""
    return option(
        (),
        "Comma list of the classes to use, by name or number; labels follow its order. If all names are whole numbers, "
        "by name only. A name with a comma needs double quotes. Empty: all classes. For record files and TFDS data "
        "sets, this option and the next three read all records once at the start, because the labels are stored only "
        "in the records.",
        added_later=True,
    )


def exclude_classes_option() -> Any:
    """Return the option that names the classes to leave out."""
    return option((), "Comma list of the classes to leave out, by name or number.", added_later=True)


def max_images_per_class_option() -> Any:
    """Return the option that limits the images of each class."""
    return option(
        0,
        "Largest number of images of each class, or of all images if they have no classes; 0: no limit. The choice "
        "depends on the data set only, and a smaller number of images is a part of a larger one.",
        added_later=True,
    )


def data_fraction_option() -> Any:
    """Return the option that limits the images to a fraction."""
    return option(
        1.0,
        "Fraction of the images of each class to use. The choice depends on the data set only, and a smaller fraction "
        "is a part of a larger one.",
        added_later=True,
    )


def check_selection(options: Any) -> None:
    """Check the options of `SELECTION_OPTIONS`.

    Raises:
        UserError: A number is out of range, a class is repeated, or classes are both named and left out.
    """
    check_at_least_zero(options, "max_images_per_class")
    check_fraction_above_zero(options, "data_fraction")
    for name in ("classes", "exclude_classes"):
        if equal := find_equal_names(getattr(options, name)):
            raise UserError(f"{name}: expected each class once, received {equal[1]!r} twice")
    if options.classes and options.exclude_classes:
        raise UserError(
            f"exclude_classes: expected an empty list with --classes, received "
            f"{join_comma_list(options.exclude_classes)}; leave these classes out of --classes"
        )


def count_fraction(count: int, fraction: float) -> int:
    """Return a fraction of a count, rounded up."""
    return math.ceil(round(fraction * count, _MAX_DECIMALS))
