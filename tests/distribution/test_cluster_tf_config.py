"""Tests of TF_CONFIG: errors are one line, and TensorFlow reads the same number of workers."""

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


def worker(*addresses: object, task: object = FIRST) -> dict[str, object]:
    return {"cluster": {"worker": list(addresses)}, "task": task}


@pytest.mark.parametrize(
    ("config", "received"),
    [
        ("garbage", "garbage"),
        ("{\n'cluster'", "{ 'cluster'"),
        ("[" * 100 + "]" * 99, "[" * 77 + "..."),
        ([1], "[1]"),
        ({"task": FIRST}, '{"task": '),
        ({"sparseCluster": {"worker": {"0": "a:2222"}}, "task": FIRST}, '{"sparse'),  # Kubeflow's enableDynamicWorker
        ({"cluster": {"worker": TWO, "ps": ["c:2222"], "evaluator": ["d:2222"]}, "task": FIRST}, "evaluator, ps"),
        (worker(), "[]"),
        ({"cluster": {"worker": {"0": "a:1"}}, "task": FIRST}, '{"0": "a:1"}'),
        (worker("a"), '"a"'),
        (worker("a:"), '"a:"'),
        (worker("a:0"), '"a:0"'),
        (worker("a:65536"), '"a:65536"'),
        (worker("fd00::1:2222"), '"fd00::1:2222"'),
        (worker(2222), "2222"),
        ({"cluster": {"chief": TWO}, "task": {"type": "chief", "index": 0}}, "2"),
        (worker("a:1", "b:1", "a:1"), "a:1 twice"),
        ({"cluster": {"chief": ["a:1"], "worker": ["a:1"]}, "task": FIRST}, "a:1 twice"),
        (worker(*TWO, task=None), "null"),
        (worker(*TWO, task={"type": "worker"}), '{"type": "worker"}'),
        (worker(*TWO, task={"index": 0}), '{"index": 0}'),
        (worker(*TWO, task={"type": "evaluator", "index": 0}), '"evaluator"'),
        (worker(*TWO, task={"type": "worker", "index": 2}), "2"),
        (worker(*TWO, task={"type": "worker", "index": -1}), "-1"),
        (worker(*TWO, task={"type": "worker", "index": True}), "true"),
    ],
)
def test_errors_are_one_line(config: object, received: str, monkeypatch: pytest.MonkeyPatch) -> None:
    set_tf_config(monkeypatch, config)
    with pytest.raises(UserError) as caught:
        count_workers()
    message = str(caught.value)
    assert message.startswith("TF_CONFIG: ") and f"received {received}" in message and "\n" not in message
