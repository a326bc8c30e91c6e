"""Tests of TF_CONFIG: errors are one line, and TensorFlow reads the same number of workers."""

from __future__ import annotations

import json

import pytest
import tensorflow as tf

from sagan_tf.distribution.cluster_tf_config import count_workers
from sagan_tf.errors import UserError

TWO = ["a:2222", "b:2222"]
FIRST = {"type": "worker", "index": 0}


def set_tf_config(monkeypatch: pytest.MonkeyPatch, config: object) -> None:
    monkeypatch.setenv("TF_CONFIG", config if isinstance(config, str) else json.dumps(config))


@pytest.mark.parametrize(
    ("config", "workers"),
    [
        ({"cluster": {"worker": TWO}, "task": FIRST}, 2),
        ({"cluster": {"worker": TWO}, "task": {"type": "worker", "index": "1"}}, 2),
        ({"cluster": {"worker": ["10.0.0.1:1"]}, "task": FIRST}, 1),
        ({"cluster": {"chief": ["[fd00::1]:65535"], "worker": TWO}, "task": {"type": "chief", "index": 0}}, 3),
        # As Kubeflow's training operator writes it (genTFConfigJSONStr in its tensorflow controller).
        (
            {
                "cluster": {"worker": [f"sagan-train-worker-{index}.default.svc:2222" for index in range(2)]},
                "task": {"type": "worker", "index": 1},
                "environment": "cloud",
            },
            2,
        ),
    ],
)
def test_agreement_with_tensorflow(
    config: dict[str, dict[str, object]], workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_tf_config(monkeypatch, config)
    assert count_workers() == workers
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    assert resolver.cluster_spec().as_dict() == config["cluster"]
    assert (resolver.task_type, resolver.task_id) == (config["task"]["type"], int(str(config["task"]["index"])))


@pytest.mark.parametrize("text", [None, ""])
def test_missing_tf_config(text: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    assert count_workers() == 0


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("garbage", r"received garbage \(Expecting value: line 1 column 1"),
        ("{\n'cluster'", r"received \{ 'cluster' \("),
        ("[" * 100 + "]" * 99, r"received \[{77}\.\.\. \("),
        ([1], r"received \[1\]"),
        ({"task": FIRST}, r'received \{"task": '),
        ({"cluster": {}, "task": FIRST}, '"cluster"'),
        # The training operator writes this with enableDynamicWorker.
        ({"sparseCluster": {"worker": {"0": "a:2222"}}, "task": FIRST}, r'"cluster".*received \{"sparse'),
        (
            {"cluster": {"worker": TWO, "ps": ["c:2222"], "evaluator": ["d:2222"]}, "task": FIRST},
            "chief and worker .*received evaluator, ps",
        ),
        ({"cluster": {"worker": []}, "task": FIRST}, r"worker, received \[\]"),
        ({"cluster": {"worker": {"0": "a:1"}}, "task": FIRST}, 'worker, received {"0": "a:1"}'),
        ({"cluster": {"worker": ["a"]}, "task": FIRST}, 'worker, received "a"'),
        ({"cluster": {"worker": ["a:"]}, "task": FIRST}, 'received "a:"'),
        ({"cluster": {"worker": ["a:0"]}, "task": FIRST}, 'received "a:0"'),
        ({"cluster": {"worker": ["a:65536"]}, "task": FIRST}, 'received "a:65536"'),
        ({"cluster": {"worker": ["fd00::1:2222"]}, "task": FIRST}, 'received "fd00::1:2222"'),
        ({"cluster": {"worker": [2222]}, "task": FIRST}, "received 2222"),
        ({"cluster": {"chief": TWO}, "task": {"type": "chief", "index": 0}}, "chief, received 2"),
        ({"cluster": {"worker": ["a:1", "b:1", "a:1"]}, "task": FIRST}, "received a:1 twice"),
        ({"cluster": {"chief": ["a:1"], "worker": ["a:1"]}, "task": FIRST}, "received a:1 twice"),
        ({"cluster": {"worker": TWO}}, '"task", .*received null'),
        ({"cluster": {"worker": TWO}, "task": {"type": "worker"}}, '"task", .*received {"type": "worker"}'),
        ({"cluster": {"worker": TWO}, "task": {"index": 0}}, '"task", .*received {"index": 0}'),
        (
            {"cluster": {"chief": ["c:1"], "worker": TWO}, "task": {"type": "evaluator", "index": 0}},
            'chief or worker, .*received "evaluator"',
        ),
        ({"cluster": {"worker": TWO}, "task": {"type": "worker", "index": 2}}, "0 to 1 .*received 2"),
        ({"cluster": {"worker": TWO}, "task": {"type": "worker", "index": -1}}, "received -1"),
        ({"cluster": {"worker": TWO}, "task": {"type": "worker", "index": True}}, "received true"),
        ({"cluster": {"worker": TWO}, "task": {"type": "worker", "index": None}}, "received null"),
    ],
)
def test_errors_are_one_line(config: object, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_tf_config(monkeypatch, config)
    with pytest.raises(UserError, match=f"^TF_CONFIG: .*{line}") as caught:
        count_workers()
    assert "\n" not in str(caught.value)
