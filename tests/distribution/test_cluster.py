"""Tests of the descriptions of workers, their order of precedence and two processes that compute together."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import unittest.mock

import pytest
import tensorflow as tf

from sagan_tf.distribution import cluster, cluster_kubernetes, cluster_slurm
from sagan_tf.distribution.strategy import count_workers, is_chief
from sagan_tf.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
# The variables of a task of `srun --ntasks=2` on this machine.
SLURM = {
    "SLURMD_NODENAME": "localhost",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "localhost",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_TASKS_PER_NODE": "2",
}
PODS = {"SAGAN_TF_PODS": "job-name=train", "SAGAN_TF_NUM_PODS": "2", "KUBERNETES_SERVICE_HOST": "10.0.0.1"}


def slurm_task(rank: int, job: int = 7) -> dict[str, str]:
    return SLURM | {"SLURM_JOB_ID": str(job), "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank)}


def tf_config(task_type: str, index: int, **tasks: int) -> dict[str, str]:
    addresses = {kind: [f"{kind}-{number}:2222" for number in range(count)] for kind, count in tasks.items()}
    return {"TF_CONFIG": json.dumps({"cluster": addresses, "task": {"type": task_type, "index": index}})}


@pytest.fixture(autouse=True)
def _unset_worker_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TF_CONFIG", *slurm_task(0), *PODS):
        monkeypatch.delenv(name, raising=False)


def set_variables(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def create_strategy_double() -> tf.distribute.MultiWorkerMirroredStrategy:
    """Return a test double with a cluster resolver of this package, which does not connect to workers."""
    double = unittest.mock.create_autospec(tf.distribute.MultiWorkerMirroredStrategy, instance=True)
    double.cluster_resolver = cluster.create_cluster_resolver()
    return double


def test_no_description_of_workers() -> None:
    assert not cluster.has_cluster()
    with pytest.raises(UserError, match=r"--strategy=multi_worker.*TF_CONFIG.*srun.*SAGAN_TF_PODS"):
        cluster.create_cluster_resolver()


@pytest.mark.parametrize(
    ("environment", "workers", "chief"),
    [
        (tf_config("worker", 0, worker=2), 2, True),
        (tf_config("worker", 1, worker=2), 2, False),
        (tf_config("worker", 0, worker=1), 1, True),
        (tf_config("worker", 0, chief=1, worker=2), 3, False),
        (tf_config("chief", 0, chief=1, worker=2), 3, True),
        (slurm_task(0), 2, True),
        (slurm_task(1), 2, False),
        (slurm_task(0) | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_TASKS_PER_NODE": "1"}, 1, True),
    ],
)
def test_number_of_workers_and_chief(
    environment: dict[str, str], workers: int, chief: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_variables(monkeypatch, environment)
    assert cluster.has_cluster() == (workers > 1)
    assert count_workers(create_strategy_double()) == workers
    assert is_chief(create_strategy_double()) == chief


@pytest.mark.parametrize("index", [0, 1])
def test_number_of_pods_and_chief(index: int, monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, PODS)
    monkeypatch.setattr(cluster_kubernetes, "find_workers", lambda: (["10.0.0.2:2222", "10.0.0.1:2222"], index))
    assert cluster.has_cluster()
    assert count_workers(create_strategy_double()) == 2
    assert is_chief(create_strategy_double()) == (index == 0)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (tf_config("worker", 1, worker=2), (1, 2)),
        (tf_config("chief", 0, chief=1, worker=2), (0, 3)),
        (tf_config("worker", 1, chief=1, worker=2), (2, 3)),
        (slurm_task(1), (1, 2)),
    ],
)
def test_worker_index(environment: dict[str, str], expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, environment)
    assert cluster.find_worker_index() == expected


def test_order_of_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_kubernetes, "find_workers", lambda: (["pod:2222"], 0))
    found = []
    for environment in (PODS, slurm_task(0), tf_config("worker", 0, worker=1)):
        set_variables(monkeypatch, environment)
        found.append(cluster.create_cluster_resolver().cluster_spec().as_dict()["worker"][0])
    assert found == ["pod:2222", "localhost:10112", "worker-0:2222"]
    assert not cluster.has_cluster(), "TF_CONFIG takes precedence and describes one worker"


def test_unreadable_description_is_not_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    set_variables(monkeypatch, slurm_task(0) | {"TF_CONFIG": "garbage"})
    for function in (cluster.has_cluster, cluster.create_cluster_resolver):
        with pytest.raises(UserError, match="TF_CONFIG: .*garbage"):
            function()


def test_number_of_visible_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_slurm, "find_workers", lambda: (["a:1", "b:1"], 1))
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["a GPU"] * 3 if kind == "GPU" else [])
    set_variables(monkeypatch, slurm_task(0))
    # TensorFlow's strategy uses this number of GPUs.
    assert cluster.create_cluster_resolver().num_accelerators() == {"GPU": 3}


ADD = """
import tensorflow as tf
from sagan_tf.distribution.cluster import create_cluster_resolver
from sagan_tf.distribution.strategy import is_chief, count_workers

strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=create_cluster_resolver())
place = strategy.cluster_resolver.task_id

@tf.function
def add():
    return strategy.run(lambda: tf.distribute.get_replica_context().all_reduce("sum", tf.constant(10.0 ** place)))

total = float(strategy.experimental_local_results(add())[0])
print("total", total, "workers", count_workers(strategy), "chief", is_chief(strategy))
"""


def test_two_slurm_tasks_compute_together() -> None:
    job = os.getpid()  # so that concurrent runs of this test use different ports
    tasks = [
        subprocess.Popen(
            [sys.executable, "-c", ADD],
            cwd=ROOT,
            env={**os.environ, **slurm_task(rank, job)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        printed = [task.communicate(timeout=240) for task in tasks]
    finally:
        for task in tasks:
            task.kill()
    assert [task.returncode for task in tasks] == [0, 0], printed
    assert [out for out, _ in printed] == [
        "total 11.0 workers 2 chief True\n",
        "total 11.0 workers 2 chief False\n",
    ]
