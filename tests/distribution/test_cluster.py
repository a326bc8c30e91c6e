"""Tests of the descriptions of workers and their order of precedence."""

import json
import unittest.mock

import pytest
import tensorflow as tf

from sagan_tf.distribution import cluster, cluster_kubernetes, cluster_slurm
from sagan_tf.distribution.strategy import count_workers, is_chief
from sagan_tf.errors import UserError

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
    with pytest.raises(UserError, match="multi_worker"):
        cluster.create_cluster_resolver()


@pytest.mark.parametrize(
    ("environment", "index", "workers"),
    [
        (tf_config("worker", 0, worker=1), 0, 1),
        (tf_config("worker", 0, worker=2), 0, 2),
        (tf_config("worker", 1, worker=2), 1, 2),
        (tf_config("worker", 1, chief=1, worker=2), 2, 3),
        (tf_config("chief", 0, chief=1, worker=2), 0, 3),
        (slurm_task(0), 0, 2),
        (slurm_task(1), 1, 2),
        (slurm_task(0) | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_STEP_TASKS_PER_NODE": "1"}, 0, 1),
        (PODS, 1, 2),
    ],
)
def test_index_and_number_of_workers(
    environment: dict[str, str], index: int, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_kubernetes, "find_workers", lambda: (["10.0.0.2:2222", "10.0.0.1:2222"], 1))
    set_variables(monkeypatch, environment)
    assert cluster.has_cluster() == (workers > 1)
    assert count_workers(create_strategy_double()) == workers
    assert is_chief(create_strategy_double()) == (index == 0)
    assert cluster.find_worker_index() == (index, workers)


def test_order_of_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_kubernetes, "find_workers", lambda: (["pod:2222"], 0))
    found = []
    for environment in (PODS, slurm_task(0), tf_config("worker", 0, worker=1)):
        set_variables(monkeypatch, environment)
        found.append(cluster.create_cluster_resolver().cluster_spec().as_dict()["worker"][0])
    assert found == ["pod:2222", "localhost:10112", "worker-0:2222"]
    assert not cluster.has_cluster(), "TF_CONFIG takes precedence and describes one worker"
    monkeypatch.setenv("TF_CONFIG", "garbage")  # An unreadable description is not ignored.
    for function in (cluster.has_cluster, cluster.create_cluster_resolver):
        with pytest.raises(UserError, match="TF_CONFIG: .*garbage"):
            function()


def test_number_of_visible_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster_slurm, "find_workers", lambda: (["a:1", "b:1"], 1))
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["a GPU"] * 3 if kind == "GPU" else [])
    set_variables(monkeypatch, slurm_task(0))
    # TensorFlow's strategy uses this number of GPUs.
    assert cluster.create_cluster_resolver().num_accelerators() == {"GPU": 3}
