"""Which description of the workers counts, what the strategy makes of each, and two processes that found each other."""

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
from sagan_tf.distribution.strategy import is_chief, num_workers
from sagan_tf.errors import UserError

ROOT = pathlib.Path(__file__).parents[2]
# Of a task of `srun --ntasks=2` on this machine.
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
    described = {kind: [f"{kind}-{one}:2222" for one in range(count)] for kind, count in tasks.items()}
    return {"TF_CONFIG": json.dumps({"cluster": described, "task": {"type": task_type, "index": index}})}


@pytest.fixture(autouse=True)
def _nothing_describes_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TF_CONFIG", *slurm_task(0), *PODS):
        monkeypatch.delenv(name, raising=False)


def describe(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def strategy() -> tf.distribute.MultiWorkerMirroredStrategy:
    """What strategy.py asks: one with our resolver, without the connections that a real one makes."""
    double = unittest.mock.create_autospec(tf.distribute.MultiWorkerMirroredStrategy, instance=True)
    double.cluster_resolver = cluster.cluster_resolver()
    return double


def test_no_workers() -> None:
    assert not cluster.has_cluster()
    with pytest.raises(
        UserError, match=r"strategy: expected workers .* TF_CONFIG, .*srun\).*SAGAN_TF_PODS.*, received"
    ):
        cluster.cluster_resolver()


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
def test_who_they_are(environment: dict[str, str], workers: int, chief: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(monkeypatch, environment)
    assert cluster.has_cluster() == (workers > 1)
    assert num_workers(strategy()) == workers
    assert is_chief(strategy()) == chief


@pytest.mark.parametrize("place", [0, 1])
def test_who_the_pods_are(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    describe(monkeypatch, PODS)
    monkeypatch.setattr(cluster_kubernetes, "find_workers", lambda: (["10.0.0.2:2222", "10.0.0.1:2222"], place))
    assert cluster.has_cluster()
    assert num_workers(strategy()) == 2
    assert is_chief(strategy()) == (place == 0)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (tf_config("worker", 1, worker=2), (1, 2)),
        (tf_config("chief", 0, chief=1, worker=2), (0, 3)),
        (tf_config("worker", 1, chief=1, worker=2), (2, 3)),
        (slurm_task(1), (1, 2)),
    ],
)
def test_the_place_among_them(
    environment: dict[str, str], expected: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    describe(monkeypatch, environment)
    assert cluster.place_among_workers() == expected


def test_the_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_kubernetes, "find_workers", lambda: (["pod:2222"], 0))
    found = []
    for environment in (PODS, slurm_task(0), tf_config("worker", 0, worker=1)):
        describe(monkeypatch, environment)
        found.append(cluster.cluster_resolver().cluster_spec().as_dict()["worker"][0])
    assert found == ["pod:2222", "localhost:10112", "worker-0:2222"]
    assert not cluster.has_cluster(), "the one that counts describes one worker"


def test_what_cannot_be_read_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    describe(monkeypatch, slurm_task(0) | {"TF_CONFIG": "garbage"})
    for ask in (cluster.has_cluster, cluster.cluster_resolver):
        with pytest.raises(UserError, match="TF_CONFIG: expected JSON"):
            ask()


def test_gpus_are_those_that_this_process_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_slurm, "find_workers", lambda: (["a:1", "b:1"], 1))
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["a GPU"] * 3 if kind == "GPU" else [])
    describe(monkeypatch, slurm_task(0))
    # TensorFlow's strategy takes as many GPUs as this says.
    assert cluster.cluster_resolver().num_accelerators() == {"GPU": 3}


ADD = """
import tensorflow as tf
from sagan_tf.distribution.cluster import cluster_resolver
from sagan_tf.distribution.strategy import is_chief, num_workers

strategy = tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=cluster_resolver())
place = strategy.cluster_resolver.task_id

@tf.function
def add():
    return strategy.run(lambda: tf.distribute.get_replica_context().all_reduce("sum", tf.constant(10.0 ** place)))

total = float(strategy.experimental_local_results(add())[0])
print("total", total, "workers", num_workers(strategy), "chief", is_chief(strategy))
"""


def test_two_tasks_of_a_step_compute_together() -> None:
    job = os.getpid()  # other runs of this test have other ports
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
