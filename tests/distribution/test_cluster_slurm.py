"""Tests of the workers in Slurm's variables, which are copied from tasks of a real Slurm (22.05)."""

import os

import pytest
import tensorflow as tf

from sagan_tf.distribution.cluster_slurm import count_workers, find_workers
from sagan_tf.errors import UserError

# From `env | grep SLURM` in the second task of `srun --nodes=2 --ntasks-per-node=1 --gpus-per-node=4`, without the
# variables that are not needed to describe tasks.
STEP = {
    "SLURMD_NODENAME": "n10",
    "SLURM_GPUS_ON_NODE": "4",
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NODELIST": "n[9-10]",
    "SLURM_LOCALID": "0",
    "SLURM_NTASKS": "2",
    "SLURM_PROCID": "1",
    "SLURM_STEP_ID": "0",
    "SLURM_STEP_NODELIST": "n[9-10]",
    "SLURM_STEP_NUM_NODES": "2",
    "SLURM_STEP_NUM_TASKS": "2",
    "SLURM_STEP_TASKS_PER_NODE": "1(x2)",
    "SLURM_TASKS_PER_NODE": "1(x2)",
}
PORT = 10112  # 10000 + 16 * job 7


@pytest.fixture(autouse=True)
def _outside_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in STEP:
        monkeypatch.delenv(name, raising=False)


def become_task(monkeypatch: pytest.MonkeyPatch, rank: int, node: str, local: int, **variables: str) -> None:
    """Set the variables of a task of the step in this process."""
    task = {"SLURM_PROCID": str(rank), "SLURMD_NODENAME": node, "SLURM_LOCALID": str(local)}
    for name, value in (STEP | task | variables).items():
        monkeypatch.setenv(name, value)


def find_addresses(monkeypatch: pytest.MonkeyPatch, tasks: list[tuple[str, int]], **variables: str) -> list[str]:
    """Return the address that each task finds for itself, by rank; check that all tasks find the same list."""
    found = []
    for rank, (node, local) in enumerate(tasks):
        become_task(monkeypatch, rank, node, local, **variables)
        found.append(find_workers())
    assert all(addresses == found[0][0] for addresses, _ in found)
    assert sorted(index for _, index in found) == list(range(len(tasks)))
    return [addresses[index] for addresses, index in found]


def test_no_workers_outside_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    assert count_workers() == 0
    for name in STEP:
        if "STEP" not in name:  # In a batch script, a program that is started without srun runs once.
            monkeypatch.setenv(name, STEP[name])
    assert count_workers() == 0


def test_nodes_that_slurm_and_tensorflow_sort_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    become_task(monkeypatch, 1, "n10", 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert count_workers() == 2
    assert find_workers() == ([f"n10:{PORT}", f"n9:{PORT}"], 0)
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"  # Slurm has selected the GPUs.
    assert find_addresses(monkeypatch, [("n9", 0), ("n10", 0)]) == [f"n9:{PORT}", f"n10:{PORT}"]


@pytest.mark.parametrize(
    ("tasks", "tasks_per_node"),
    [([("n9", 0), ("n9", 1), ("n10", 0)], "2,1"), ([("n9", 0), ("n10", 0), ("n9", 1), ("n10", 1)], "2(x2)")],
    ids=["block", "cyclic"],
)
def test_distributions_of_several_tasks_per_node(
    tasks: list[tuple[str, int]], tasks_per_node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"SLURM_STEP_NUM_TASKS": str(len(tasks)), "SLURM_STEP_TASKS_PER_NODE": tasks_per_node}
    assert find_addresses(monkeypatch, tasks, **counts) == [f"{node}:{PORT + local}" for node, local in tasks]


def test_steps_on_the_same_node_have_different_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = set()
    for job, step in ((7, 0), (7, 1), (8, 0), (8, 1), (4_000_000, 0)):
        become_task(monkeypatch, 0, "n9", 0, SLURM_JOB_ID=str(job), SLURM_STEP_ID=str(step))
        ports |= {int(address.rpartition(":")[2]) for address in find_workers()[0]}
    assert len(ports) == 5
    assert all(10000 <= port < 32768 for port in ports)


@pytest.mark.parametrize(("visible", "allocated", "shared"), [(4, "4", True), (3, "4", True), (2, "4", False)])
def test_tasks_that_share_gpus_are_an_error(
    visible: int, allocated: str, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["a GPU"] * visible if kind == "GPU" else [])
    several = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_GPUS_ON_NODE": allocated}
    become_task(monkeypatch, 0, "n9", 0)
    find_workers()  # The only task on a node has all GPUs.
    become_task(monkeypatch, 0, "n9", 0, **several)
    if shared:
        with pytest.raises(UserError, match=f"Slurm: .* 4 .* {visible} .*--gpus-per-task=2"):
            find_workers()
    else:
        find_workers()
    several["SLURM_GPUS_ON_NODE"] = "3"
    become_task(monkeypatch, 0, "n9", 0, **several)
    if visible * 2 > 3:
        with pytest.raises(UserError, match="--ntasks-per-node=1$"):  # Two tasks cannot share 3 GPUs equally.
            find_workers()
    monkeypatch.delenv("SLURM_GPUS_ON_NODE")  # The job did not request GPUs.
    find_workers()


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("SLURM_STEP_NODELIST", None, "Slurm: .*SLURM_STEP_NODELIST not found"),
        ("SLURM_STEP_NODELIST", "n[9-", 'Slurm: .*Invalid hostlist format "n\\[9-"'),
        ("SLURM_STEP_TASKS_PER_NODE", "2", f"Slurm: .*n10:{PORT}, .*n9:"),
        ("SLURM_STEP_TASKS_PER_NODE", "1(x", "Slurm: .*Invalid tasks-per-node"),
        ("SLURM_STEP_NUM_TASKS", "3", "Slurm: .*Requested 3 tasks but only 2 were assigned"),
        ("SLURM_STEP_NUM_TASKS", "two", "SLURM_STEP_NUM_TASKS: .*'two'"),
        ("SLURM_PROCID", None, "Slurm: .*SLURM_PROCID not found"),
        ("SLURMD_NODENAME", None, "Slurm: SLURMD_NODENAME"),
        ("SLURMD_NODENAME", "m1", f"Slurm: .*m1:{PORT}, .*n10:{PORT}, n9:{PORT}"),
        ("SLURM_LOCALID", "1", f"Slurm: .*n10:{PORT + 1}"),
        ("SLURM_JOB_ID", None, "Slurm: SLURM_JOB_ID"),
    ],
)
def test_errors_are_one_line(name: str, value: str | None, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    become_task(monkeypatch, 1, "n10", 0)
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=line) as caught:
        find_workers()
    assert "\n" not in str(caught.value) and "unset SLURM_STEP_NUM_TASKS" in str(caught.value)
