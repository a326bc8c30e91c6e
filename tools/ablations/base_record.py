"""Experiment record of a base: the comment at the top of a flagfile in `configs`."""

from __future__ import annotations

import re
from pathlib import Path

from sagan_tf.text import read_text

_HEADING = re.compile(r"# ([A-Z]\w+):\s+(.*)")
_CONTINUATION = re.compile(r"#\s{2,}(\S.*)")


def read_experiment_record(flagfile: Path) -> dict[str, str]:
    """Read the parts of an experiment record, such as `# Differs:    TEXT`, by their headings.

    Lines that are indented continue a part.

    Args:
        flagfile: The flagfile, which need not have a record.
    """
    record: dict[str, str] = {}
    heading = ""
    for line in read_text(flagfile).splitlines():
        if match := _HEADING.fullmatch(line):
            heading, record[match[1]] = match[1], match[2]
        elif heading and (match := _CONTINUATION.fullmatch(line)):
            record[heading] += f" {match[1]}"
        else:
            heading = ""
    return record
