"""Names of metrics: a family, and a number of thousands of images or none."""

from __future__ import annotations

import re

_THOUSANDS = re.compile(r"([1-9]\d{0,6})k\Z")


def split_metric_name(name: str) -> tuple[str, int | None]:
    """Return the family and the number of images of a metric; None for all given images.

    Examples:
        >>> split_metric_name("fid50k"), split_metric_name("fid")
        (('fid', 50000), ('fid', None))
    """
    match = _THOUSANDS.search(name)
    return (name, None) if match is None else (name[: match.start()], int(match[1]) * 1000)
