"""Tests of finding and removing lines of `metrics.jsonl`."""

import json

from sagan_tf.runs.metrics_log import drop_lines_after, drop_training_evaluations_at, find_evaluation, read_metrics


def test_lines_after_the_resumed_step_are_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text(
        '{"step": 2, "kind": "train"}\n{"step": 4, "kind": "train"}\n{"step": 6}\n{"step": 3, "ki', "utf-8-sig"
    )
    drop_lines_after(path, 4)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [2, 4]
    drop_lines_after(tmp_path / "missing.jsonl", 4)


def test_only_evaluations_of_training_are_dropped(tmp_path):
    """Those of `sagan_tf.evaluate` may have taken hours."""
    path = tmp_path / "metrics.jsonl"
    trained = {"step": 4, "kind": "evaluation", "during_training": True}
    others = [{"step": 4, "kind": "evaluation"}, {"step": 4, "kind": "train"}, trained | {"step": 2}]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in [*others, trained]))
    drop_training_evaluations_at(path, 4)
    assert read_metrics(path) == others


def test_find_the_last_evaluation_of_step_and_weights(tmp_path):
    path = tmp_path / "metrics.jsonl"
    lines = [
        {"step": 2, "kind": "train", "fid50k": 0},
        {"step": 2, "kind": "evaluation", "generator_weights": "ema", "fid50k": 1},
        {"step": 2, "kind": "evaluation", "generator_weights": "live", "fid50k": 2},
        {"step": 4, "kind": "evaluation", "generator_weights": "ema", "fid50k": 3},
        {"step": 2, "kind": "evaluation", "fid50k": 4},
        ["no", "object"],
        {"step": 4, "kind": "evaluation", "generator_weights": "live", "fid50k": 5},
        {"step": 4, "kind": "train", "fid50k": 6},
    ]
    text = "\n".join(map(json.dumps, lines))
    path.write_bytes(b'{"step": 2, "kind": "evalu\n\xff\n' + text.encode() + b'\n{"step": 2, "kind": "evaluation", "fi')
    found = {
        (step, weights): (find_evaluation(path, step, weights) or {}).get("fid50k")
        for step in (2, 4, 6)
        for weights in ("ema", "live")
    }
    assert found == {(2, "ema"): 4, (2, "live"): 2, (4, "ema"): 3, (4, "live"): 5, (6, "ema"): None, (6, "live"): None}
    assert find_evaluation(tmp_path / "nowhere.jsonl", 2, "ema") is None


def test_invalid_lines_are_omitted(tmp_path):
    path = tmp_path / "metrics.jsonl"
    assert read_metrics(path) == []
    path.write_text('{"step": 1}\n3\n{"no": 1}\n{"step": "x"}\n{"step": 2, "a": 1}\n{"ste', "utf-8-sig")
    assert read_metrics(path) == [{"step": 1}, {"step": 2, "a": 1}]
