"""Tests of mutated image and record files: no crash, no hang, and every file is read or reported."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.faults.untrusted_files import write_mutated_images, write_mutated_records
from tests.faults.untrusted_reader import read_in_a_child

MEGABYTES = 150
"""Limit of the increase of memory while a directory or a record file is read."""


def read_mutated(scratch: Path, images: int, records: int, seconds: float, seed: int) -> dict[str, Any]:
    write_mutated_images(scratch / "images", images, seed)
    write_mutated_records(scratch / "records", records, seed)
    directories = {kind: scratch / "images" for kind in ("images", "sizes", "prepare")}
    return read_in_a_child(scratch, seconds, **directories, records=scratch / "records")


def assert_every_file_is_read_or_reported(scratch: Path, answers: dict[str, Any]) -> None:
    paths = {str(path) for path in (scratch / "images").rglob("*.*")}
    for kind in ("images", "sizes"):
        found = answers[kind]
        assert found["given"] == len(paths) == len(found["read"]) + len(found["named"])
        assert {*found["read"], *found["named"]} == paths
        assert found["read"] and found["named"] and all(found["named"].values())
    assert_preparation_reports_the_same_files(answers["prepare"], answers["images"])
    for name, found in answers["records"]["sets"].items():
        assert_records_are_read_or_reported(scratch / "records" / name / "train" / "a.tfrecord", found)
    assert answers["megabytes"] < MEGABYTES


def assert_preparation_reports_the_same_files(prepared: dict[str, Any], found: dict[str, Any]) -> None:
    assert prepared["status"] == 0, prepared["errors"]
    counts = re.search(r"(\d+) images of 2 classes in 2 files; (\d+) unreadable images left out", prepared["output"])
    assert counts and [int(count) for count in counts.groups()] == [len(found["read"]), len(found["named"])]
    reported = {f"skipped an unreadable image: {name}: {reason}" for name, reason in found["named"].items()}
    assert reported == set(prepared["log"]) and len(prepared["log"]) == len(reported)


def assert_records_are_read_or_reported(path: Path, found: dict[str, Any]) -> None:
    if found["error"]:
        assert found["error"].startswith("data: the record file ") and " is damaged: " in found["error"]
        assert str(path) in found["error"] and "\n" not in found["error"]
    else:
        names = [*found["read"], *found["named"]]
        assert sorted(name.split(" ")[0] for name in names) == [f"{path}#{number}" for number in range(6)]


@pytest.mark.parametrize(
    ("images", "records", "seconds"), [(20, 6, 120), pytest.param(700, 300, 900, marks=pytest.mark.slow)]
)
def test_mutated_files(tmp_path, images, records, seconds):
    answers = read_mutated(tmp_path, images, records, seconds, seed=1)
    assert_every_file_is_read_or_reported(tmp_path, answers)
    if records == 300:
        sets = answers["records"]["sets"].values()
        assert len(sets) == 300
        assert min(sum(bool(found[kind]) for found in sets) for kind in ("error", "named", "read")) > 30
