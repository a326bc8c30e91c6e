"""Tests of the reader of TensorFlow 1 checkpoints."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.errors import UserError
from tools.importing.tf1_checkpoint import Tf1Checkpoint

VALUES = {
    "a/w": np.arange(6.0, dtype=np.float64).reshape(2, 3),
    "global_step": np.int64(2**40),
    "b": np.float32(np.nan),
}


@pytest.fixture(params=["model.ckpt-3", "run[1]/model[2] \\*.ckpt-3"])
def prefix(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> str:
    path = str(tmp_path / request.param)
    pathlib.Path(path).parent.mkdir(exist_ok=True)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in VALUES.items():
            tf.compat.v1.get_variable(name, initializer=value)
        session.run(tf.compat.v1.global_variables_initializer())
        tf.compat.v1.train.Saver().save(session, path, write_meta_graph=False)
    return path


def test_variables_are_read_and_recorded(prefix: str) -> None:
    checkpoint = Tf1Checkpoint(prefix)
    assert checkpoint.shapes == {"a/w": (2, 3), "global_step": (), "b": ()}
    assert checkpoint.list_unused() == ["a/w", "b", "global_step"] and checkpoint.count_used() == 0
    value = checkpoint.read("a/w")
    assert value.dtype == np.float32 and np.array_equal(value, VALUES["a/w"])
    assert checkpoint.read("global_step") == 2**40
    assert checkpoint.list_unused() == ["b"] and checkpoint.count_used() == 2


def test_non_finite_values_are_refused(prefix: str) -> None:
    with pytest.raises(UserError, match="checkpoint: b of .* NaN"):
        Tf1Checkpoint(prefix).read("b")


@pytest.mark.parametrize("damage", ["missing", "cut", "changed"])
@pytest.mark.parametrize("suffix", ["index", "data-00000-of-00001"])
def test_damaged_files_are_refused(prefix: str, suffix: str, damage: str) -> None:
    path = pathlib.Path(f"{prefix}.{suffix}")
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(content[:5] if damage == "cut" else bytes(len(content)))
    with pytest.raises(UserError, match="^checkpoint: cannot read"):
        Tf1Checkpoint(prefix).read("a/w")
