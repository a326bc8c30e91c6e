"""What a run has come to, and whether that is the same as what another has."""

from __future__ import annotations

import json
import pathlib

import tensorflow as tf

_TIMES = ("steps_per_second", "images_per_second")


def tensors(run_dir: pathlib.Path) -> dict[str, bytes]:
    """Every value in the newest checkpoint but for the number of saves of the process that wrote it."""
    reader = tf.train.load_checkpoint(str(run_dir / "checkpoints"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith(("save_counter", "_"))]
    return {name: reader.get_tensor(name).tobytes() for name in names}


def lines(run_dir: pathlib.Path) -> list[dict[str, object]]:
    """Those of `metrics.jsonl`, without times."""
    text = (run_dir / "metrics.jsonl").read_text(encoding="utf-8")
    found = [json.loads(line) for line in text.splitlines()]
    return [{name: value for name, value in line.items() if name not in _TIMES} for line in found]


def files(run_dir: pathlib.Path) -> list[str]:
    """All of a run's, but for TensorBoard's, which every process begins anew."""
    paths = [str(path.relative_to(run_dir)) for path in run_dir.rglob("*")]
    return sorted(path for path in paths if not path.startswith("tensorboard/"))


def assert_same(run_dir: pathlib.Path, whole: pathlib.Path, num_steps: int) -> None:
    """Whether a run that was cut off and went on has come to the same as one that was not: bit for bit.

    Args:
        run_dir, whole: their folders; both wrote a line at each step.
        num_steps: of both.
    """
    expected, received = tensors(whole), tensors(run_dir)
    assert expected.keys() == received.keys() and len(expected) > 100
    assert [name for name in expected if expected[name] != received[name]] == []
    assert [line["step"] for line in lines(run_dir) if line["kind"] == "train"] == list(range(1, num_steps + 1))
    assert lines(run_dir) == lines(whole)
    assert files(run_dir) == files(whole)
    for picture in (whole / "samples").iterdir():
        assert (run_dir / "samples" / picture.name).read_bytes() == picture.read_bytes(), picture.name
    assert (run_dir / ".lock").read_text() == ""
