"""Tests of the line about the machine in records of measurements."""

from __future__ import annotations

import pytest

from tools.machine import describe_machine

FACTS = {"processor": "a processor", "memory_bytes": 3 * 2**30, "python": "1", "tensorflow": "2", "keras": "3"}


@pytest.mark.parametrize(("cores", "text"), [(1, "1 core"), (2, "2 cores")])
def test_line_about_the_machine(cores: int, text: str):
    assert f", {text}, " in describe_machine(FACTS | {"cores": cores})
