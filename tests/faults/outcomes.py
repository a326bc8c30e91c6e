"""Comparison of the results of two runs."""

import json
import pathlib
from typing import Any

import tensorflow as tf

_TIMES = ("steps_per_second", "images_per_second")


def read_tensors(run_dir: pathlib.Path) -> dict[str, bytes]:
    """Return every value of the newest checkpoint, except the process's number of saves."""
    reader = tf.train.load_checkpoint(str(run_dir / "checkpoints"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith(("save_counter", "_"))]
    return {name: reader.get_tensor(name).tobytes() for name in names}


def read_metrics(run_dir: pathlib.Path) -> list[dict[str, Any]]:
    """Return the lines of `metrics.jsonl`, without times."""
    text = (run_dir / "metrics.jsonl").read_text(encoding="utf-8")
    found = [json.loads(line) for line in text.splitlines()]
    return [{name: value for name, value in line.items() if name not in _TIMES} for line in found]


def list_files(run_dir: pathlib.Path) -> list[str]:
    """Return the files of a run, except those of TensorBoard, of which every process starts new ones."""
    paths = [str(path.relative_to(run_dir)) for path in run_dir.rglob("*")]
    return sorted(path for path in paths if not path.startswith("tensorboard/"))


def assert_equal_runs(run_dir: pathlib.Path, uninterrupted_run: pathlib.Path, num_steps: int) -> None:
    """Check that an interrupted and resumed run has the same results, bit for bit, as an uninterrupted run."""
    expected, received = read_tensors(uninterrupted_run), read_tensors(run_dir)
    assert expected.keys() == received.keys() and len(expected) > 100
    assert [name for name in expected if expected[name] != received[name]] == []
    assert [line["step"] for line in read_metrics(run_dir) if line["kind"] == "train"] == list(range(1, num_steps + 1))
    assert read_metrics(run_dir) == read_metrics(uninterrupted_run)
    assert list_files(run_dir) == list_files(uninterrupted_run)
    for image in (uninterrupted_run / "samples").iterdir():
        assert (run_dir / "samples" / image.name).read_bytes() == image.read_bytes(), image.name
    assert (run_dir / ".lock").read_text() == ""
