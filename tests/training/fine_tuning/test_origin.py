"""Tests of the description of the origin of weights."""

import json
import logging

import pytest

from sagan_tf.runs.run_directory import RunDirectory
from sagan_tf.training.fine_tuning.class_mapping import map_classes
from sagan_tf.training.fine_tuning.origin import WeightOrigin, record_origin
from sagan_tf.training.fine_tuning.weight_transfer import Transfer

OLD = ("cat", "dog")


def make_transfer(mapped: tuple[str, ...], new: tuple[str, ...] = ()) -> Transfer:
    initialized = {name: {"shape": [2, 3], "source_shape": [2, 4]} for name in new}
    return Transfer(("a/kernel",), mapped, initialized, (), num_kernels=1, new_kernels=(), new_tables=new)


@pytest.mark.parametrize(
    ("new", "old", "generator", "discriminator", "methods", "logged"),
    [
        (("cat", "fox"), OLD, ("g",), ("e",), ["same name", "no source"], [("generator, disc", "cat from cat")]),
        (("cat",), OLD, ("g",), (), ["same name"], [("generator:", "cat from cat"), ("discr", "new values")]),
        (("cat",), OLD, (), (), ["new values"], [("generator, disc", "new values")]),
        (("cat",), (), ("g",), (), ["source without classes"], [("generator:", "no classes"), ("discr", "new values")]),
        ((), OLD, ("g",), ("e",), [], [("generator, disc", "mean")]),
    ],
)  # fmt: skip
def test_classes_are_described_as_mapped_only_where_tables_are(
    new, old, generator, discriminator, methods, logged, tmp_path, caplog
):
    transfers = {"generator": make_transfer(generator, () if generator else ("g",))}
    transfers["discriminator"] = make_transfer(discriminator, () if discriminator else ("e",))
    mapping = map_classes(new, old, len(old))
    source = ("runs/a", "checkpoint", "/runs/a/checkpoints/step-4", 4, len(old), old)
    origin = WeightOrigin(*source, new, mapping, transfers, absent=(), computed={}, frozen=())
    run_directory = RunDirectory(tmp_path / "run")
    run_directory.create()
    with caplog.at_level(logging.INFO, logger="sagan_tf"):
        record_origin(origin, run_directory)
    lines = [message for message in caplog.messages if message.startswith("class")]
    assert len(lines) == len(logged)
    assert all(text in line for line, texts in zip(lines, logged, strict=True) for text in texts)
    record = json.loads(run_directory.initialization.read_text())
    assert [row["method"] for row in record["classes"].values()] == methods
    assert [row["source"] is None for row in record["classes"].values()] == [name != "same name" for name in methods]
    assert record["networks"]["generator"]["mapped"] == list(generator) and "checkpoints" in record["path"]
