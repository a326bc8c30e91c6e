"""Tests of evaluations in training: records, the best checkpoint and warnings."""

import json
import logging
import pathlib
from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.training.actions.evaluation import Evaluate, read_best
from sagan_tf.training.actions.schedule import StepReport
from tests.training.actions.reports import read_summaries


class FakeResult:
    def __init__(self, value: float, lower_is_better: bool, protocol: dict[str, Any]) -> None:
        self.value, self.protocol, self.lower_is_better = value, protocol, lower_is_better

    def to_record(self) -> dict[str, Any]:
        return {"fid": self.value} | self.protocol

    def to_scalars(self) -> dict[str, float]:
        return {"fid": self.value, "precision_recall/recall": 0.5}


class FakeCheckpoints:
    def __init__(self, directory: pathlib.Path) -> None:
        self.directory, self.saved = directory, 0

    def save(self) -> str:
        self.directory.mkdir(exist_ok=True)
        self.saved += 1
        return str(self.directory / "step")


class Run:
    """The action with given values of its metric, and its outputs."""

    def __init__(
        self, directory: pathlib.Path, lower_is_better: bool = True, policy: str = "float32", **protocol: Any
    ) -> None:
        self.directory, self.best = directory, FakeCheckpoints(directory / "best")
        self.generator: Any = object()
        self.evaluated: list[Any] = []
        self._lower_is_better, self._values, self._step = lower_is_better, list[float](), 0
        self._protocol = {"extractor": "fake/1", "precision": "float32"} | protocol
        writer = tf.summary.create_file_writer(str(directory / "tensorboard"))
        best: Any = self.best
        record = directory / "best" / "best.json"
        self._action = Evaluate(
            self._evaluate,
            self.generator,
            directory / "metrics.jsonl",
            writer,
            best,
            record,
            read_best(record, policy),
            2,
        )

    def _evaluate(self, generator: Any) -> Any:
        self.evaluated.append(generator)
        return FakeResult(self._values.pop(0), self._lower_is_better, self._protocol)

    def evaluate(self, *values: float) -> None:
        for value in values:
            self._values.append(value)
            self._step += 10
            self._action(StepReport(self._step, 10, {}, 1.0, last=False))

    def best_record(self) -> dict[str, Any]:
        return json.loads((self.directory / "best" / "best.json").read_text())


def test_each_evaluation_writes_a_line_and_scalars(tmp_path):
    run = Run(tmp_path)
    run.evaluate(3.0, 2.0)
    assert run.evaluated == [run.generator] * 2
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    expected = {"kind": "evaluation", "generator_weights": "ema", "during_training": True}
    expected |= {"extractor": "fake/1", "precision": "float32"}
    assert lines == [{"step": 10, "fid": 3.0} | expected, {"step": 20, "fid": 2.0} | expected]
    found = {tag: list(values) for tag, values in read_summaries(tmp_path / "tensorboard").items()}
    assert found == {f"evaluation/{tag}": [10, 20] for tag in ("fid", "precision_recall/recall")}


@pytest.mark.parametrize("lower_is_better", [True, False])
def test_the_best_checkpoint_is_kept(lower_is_better, tmp_path):
    run = Run(tmp_path, lower_is_better)
    sign = 1.0 if lower_is_better else -1.0
    saved = []
    for value in (3.0, 4.0, 2.0, 2.0, 2.5, 1.0):
        run.evaluate(sign * value)
        saved.append(run.best.saved)
    assert saved == [1, 1, 2, 2, 2, 3]
    record = run.best_record()
    assert (record["step"], record["metric"], record["value"]) == (60, "fid", sign * 1.0)


def test_nan_is_never_the_best_value(tmp_path):
    run = Run(tmp_path)
    run.evaluate(float("nan"))
    assert run.best.saved == 0
    run.evaluate(3.0, float("nan"), 1.0)
    assert run.best.saved == 2 and run.best_record()["value"] == 1.0


@pytest.mark.parametrize(
    "changed",
    [
        *({}, {"extractor": "fake/2"}, {"evaluation_labels": "reference"}, {"precision": "bfloat16"}),
        {"held_out": {"images": "mine"}},
    ],
    ids=str,
)
def test_a_resumed_run_compares_values_of_the_same_protocol(changed, tmp_path):
    Run(tmp_path).evaluate(2.0)
    resumed = Run(tmp_path, **changed)
    resumed.evaluate(3.0)
    assert resumed.best.saved == bool(changed) and resumed.best_record()["value"] == (3.0 if changed else 2.0)
    resumed.evaluate(1.0)
    assert resumed.best.saved == 1 + bool(changed)


@pytest.mark.parametrize(
    ("policy", "precision", "saved"),
    [("float32", "float32", 0), ("mixed_bfloat16", "bfloat16", 0), ("mixed_bfloat16", "float32", 1)],
)
def test_the_best_record_of_an_earlier_version_is_compared(policy, precision, saved, tmp_path):
    """The record lacks the values that all evaluations of that version had in common."""
    Run(tmp_path).evaluate(2.0)
    path = tmp_path / "best" / "best.json"
    record = json.loads(path.read_text())
    record["protocol"] = {"extractor": "fake/1"}
    path.write_text(json.dumps(record))
    resumed = Run(tmp_path, evaluation_labels="uniform", precision=precision, policy=policy)
    resumed.evaluate(3.0)
    assert resumed.best.saved == saved and resumed.best_record()["value"] == 2.0 + saved


def test_a_resumed_run_continues_to_count_worse_values(tmp_path, caplog):
    Run(tmp_path).evaluate(1.0, 2.0)
    with caplog.at_level(logging.WARNING, logger="sagan_tf"):
        Run(tmp_path).evaluate(3.0)
    assert "fid has become worse in 2 " in caplog.text


RECORD: dict[str, Any] = {
    "metric": "fid",
    "protocol": {"extractor": "fake/1"},
    "worse_in_a_row": 0,
    "last": 1.0,
    "value": 1.0,
}
DAMAGES: list[dict[str, Any]] = [
    {"protocol": []},
    {"worse_in_a_row": None},
    {"last": "1"},
    {"value": "1"},
    {"metric": "kid"},
]


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"metric": "fid"}', *(json.dumps(RECORD | d) for d in DAMAGES)])
def test_a_damaged_record_is_ignored(damage, tmp_path):
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "best.json").write_text(damage)
    run = Run(tmp_path)
    run.evaluate(5.0)
    assert run.best.saved == 1


@pytest.mark.parametrize("lower_is_better", [True, False])
def test_consecutive_worse_values_lead_to_a_warning(lower_is_better, tmp_path, caplog):
    run, sign = Run(tmp_path, lower_is_better), 1.0 if lower_is_better else -1.0

    def count_warnings() -> int:
        return sum(record.levelno == logging.WARNING for record in caplog.records)

    with caplog.at_level(logging.INFO, logger="sagan_tf"):
        run.evaluate(*(sign * value for value in (5.0, 3.0, 4.0, 3.5, 3.7, 3.7)))
        assert count_warnings() == 0  # never worse twice in a row, because an equal value is not worse
        run.evaluate(*(sign * value for value in (4.0, 4.5)))
    assert count_warnings() == 1
    assert "fid has become worse in 2 " in caplog.text
