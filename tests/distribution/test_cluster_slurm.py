"""Slurm's variables, as tasks of a real Slurm (22.05) had them, and the workers that they describe."""

from __future__ import annotations

import os

import pytest
import tensorflow as tf

from sagan_tf.distribution.cluster_slurm import find_workers, num_workers
from sagan_tf.errors import UserError

# Of `env | grep SLURM` in the second task of `srun --nodes=2 --ntasks-per-node=1 --gpus-per-node=4`; what says nothing
# of tasks is left out.
STEP = {
    "SLURMD_NODENAME": "n10",
    "SLURM_GPUS_ON_NODE": "4",
    "SLURM_GTIDS": "1",
    "SLURM_JOB_ID": "7",
    "SLURM_JOB_NODELIST": "n[9-10]",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_LOCALID": "0",
    "SLURM_NODEID": "1",
    "SLURM_NTASKS": "2",
    "SLURM_NTASKS_PER_NODE": "1",
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


def be(monkeypatch: pytest.MonkeyPatch, rank: int, node: str, local: int, **other: str) -> None:
    """Makes this process a task of the step."""
    task = {"SLURM_PROCID": str(rank), "SLURMD_NODENAME": node, "SLURM_LOCALID": str(local)}
    for name, value in (STEP | task | other).items():
        monkeypatch.setenv(name, value)


def places(monkeypatch: pytest.MonkeyPatch, tasks: list[tuple[str, int]], **other: str) -> list[str]:
    """The address that each of `tasks` finds to be its own, by rank; all of them find the same list."""
    found = []
    for rank, (node, local) in enumerate(tasks):
        be(monkeypatch, rank, node, local, **other)
        found.append(find_workers())
    assert all(addresses == found[0][0] for addresses, _ in found)
    assert sorted(index for _, index in found) == list(range(len(tasks)))
    return [addresses[index] for addresses, index in found]


def test_outside_a_step_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert num_workers() == 0
    for name in STEP:
        if "STEP" not in name:  # a batch script: what it starts without srun runs once
            monkeypatch.setenv(name, STEP[name])
    assert num_workers() == 0


def test_a_task_a_node_whose_names_slurm_and_tensorflow_sort_differently(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 1, "n10", 0)
    assert num_workers() == 2
    assert find_workers() == ([f"n10:{PORT}", f"n9:{PORT}"], 0)
    assert places(monkeypatch, [("n9", 0), ("n10", 0)]) == [f"n9:{PORT}", f"n10:{PORT}"]


def test_several_tasks_a_node_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    found = places(
        monkeypatch,
        [("n9", 0), ("n9", 1), ("n10", 0)],
        SLURM_STEP_NUM_TASKS="3",
        SLURM_STEP_TASKS_PER_NODE="2,1",
    )
    assert found == [f"n9:{PORT}", f"n9:{PORT + 1}", f"n10:{PORT}"]


def test_several_tasks_a_node_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    found = places(
        monkeypatch,
        [("n9", 0), ("n10", 0), ("n9", 1), ("n10", 1)],
        SLURM_STEP_NUM_TASKS="4",
        SLURM_STEP_TASKS_PER_NODE="2(x2)",
    )
    assert found == [f"n9:{PORT}", f"n10:{PORT}", f"n9:{PORT + 1}", f"n10:{PORT + 1}"]


def test_what_shares_a_node_has_ports_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = set()
    for job, step in ((7, 0), (7, 1), (8, 0), (8, 1), (4_000_000, 0)):
        be(monkeypatch, 0, "n9", 0, SLURM_JOB_ID=str(job), SLURM_STEP_ID=str(step))
        ports |= {int(address.rpartition(":")[2]) for address in find_workers()[0]}
    assert len(ports) == 5
    assert all(10000 <= port < 32768 for port in ports)


def test_gpus_are_left_to_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 1, "n10", 0)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    find_workers()
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"


@pytest.mark.parametrize(("visible", "allocated", "shared"), [(4, "4", True), (3, "4", True), (2, "4", False)])
def test_tasks_that_would_share_gpus(
    visible: int, allocated: str, shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["a GPU"] * visible if kind == "GPU" else [])
    several = {"SLURM_STEP_NUM_TASKS": "4", "SLURM_STEP_TASKS_PER_NODE": "2(x2)", "SLURM_GPUS_ON_NODE": allocated}
    be(monkeypatch, 0, "n9", 0)
    find_workers()  # one task a node has them all
    be(monkeypatch, 0, "n9", 0, **several)
    if shared:
        # Tried with Slurm: without --ntasks it ignores the other option in a job with more tasks.
        advice = "srun --ntasks=2 --ntasks-per-node=1, .* srun --gpus-per-task=2$"
        with pytest.raises(UserError, match=rf"a node that has 4, received {visible} visible .*{advice}"):
            find_workers()
    else:
        find_workers()
    several["SLURM_GPUS_ON_NODE"] = "3"
    be(monkeypatch, 0, "n9", 0, **several)
    if visible * 2 > 3:
        with pytest.raises(UserError, match="--ntasks-per-node=1$"):  # 3 GPUs are not for 2 tasks alike
            find_workers()
    monkeypatch.delenv("SLURM_GPUS_ON_NODE")  # no GPUs were asked for
    find_workers()


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("SLURM_STEP_NODELIST", None, "Slurm: expected the variables of a step .*SLURM_STEP_NODELIST not found"),
        ("SLURM_STEP_NODELIST", "n[9-", 'received: Invalid hostlist format "n\\[9-"'),
        ("SLURM_STEP_TASKS_PER_NODE", "2", f"expected this task, n10:{PORT}, among the step's, received n9:"),
        ("SLURM_STEP_TASKS_PER_NODE", "1(x", "received: Invalid tasks-per-node"),
        ("SLURM_STEP_NUM_TASKS", "3", "received: Requested 3 tasks but only 2 were assigned"),
        ("SLURM_STEP_NUM_TASKS", "two", "SLURM_STEP_NUM_TASKS: expected a number, as srun sets it, received 'two'"),
        ("SLURM_PROCID", None, "received: SLURM_PROCID not found"),
        ("SLURMD_NODENAME", None, "expected SLURMD_NODENAME in the environment, as srun sets it, received none"),
        ("SLURMD_NODENAME", "m1", f"expected this task, m1:{PORT}, among the step's, received n10:{PORT}, n9:{PORT}"),
        ("SLURM_LOCALID", "1", f"expected this task, n10:{PORT + 1}, among"),
        ("SLURM_JOB_ID", None, "expected SLURM_JOB_ID in the environment"),
    ],
)
def test_what_is_wrong_is_one_line(name: str, value: str | None, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    be(monkeypatch, 1, "n10", 0)
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=line) as caught:
        find_workers()
    assert "\n" not in str(caught.value) and "unset SLURM_STEP_NUM_TASKS" in str(caught.value)
