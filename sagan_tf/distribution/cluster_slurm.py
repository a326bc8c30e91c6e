"""The workers of a Slurm step: a task is a worker."""

from __future__ import annotations

import os

import tensorflow as tf

from sagan_tf.errors import UserError

# Ports from 10000 to 32399, below those that Linux gives to connections (32768 and up). Jobs that share a node have
# numbers near each other, and few steps at a time: they begin at different ports. 16 is as many tasks as the nodes with
# most GPUs have use for.
_FIRST_PORT = 10000
_PORTS_OF_A_STEP = 16
_STEPS = 1400
_STEPS_APART = 97
_ADVICE = "start it with srun, or unset SLURM_STEP_NUM_TASKS to train without other workers"


def num_workers() -> int:
    """Tasks of the step that this process belongs to; 0 outside a step, as in a batch script without `srun`."""
    return _number("SLURM_STEP_NUM_TASKS") if "SLURM_STEP_NUM_TASKS" in os.environ else 0


def find_workers() -> tuple[list[str], int]:
    """Return the addresses, host:port, of the step's tasks, alike in all of them, and the place of this one among them.

    TensorFlow's resolver expands Slurm's lists of nodes and tasks, and sorts the nodes by name. So does Slurm, but n9
    before n10, and with a cyclic distribution ranks go around the nodes: that a task's rank is its place, as that
    resolver says, is right for some lists only. A task knows its node and its place there, which is its address.

    GPUs are Slurm's to bind, which knows what else runs on a node; the resolver would ask `nvidia-smi` and number the
    node's GPUs from 0. It is told that there are as many as tasks, one for each, since it takes no node without any.

    Raises:
        UserError: if a variable is missing or is not as Slurm writes it, or tasks of a node have the same GPUs.
    """
    first_port = _first_port()
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=first_port, gpus_per_node=num_workers(), gpus_per_task=1, auto_set_gpu=False
        )
        addresses = resolver.cluster_spec().as_dict()["worker"]
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"Slurm: expected the variables of a step that srun started, received: {error}; {_ADVICE}"
        ) from error
    node = _variable("SLURMD_NODENAME")
    own = f"{node}:{first_port + _number('SLURM_LOCALID')}"
    if own not in addresses:
        raise UserError(
            f"Slurm: expected this task, {own}, among the step's, received {', '.join(addresses)}; {_ADVICE}"
        )
    _check_gpus(sum(address.rpartition(":")[0] == node for address in addresses))
    return addresses, addresses.index(own)


def _first_port() -> int:
    """Return the port of a node's first task; the others have the next ones."""
    step = _number("SLURM_JOB_ID") + _STEPS_APART * _number("SLURM_STEP_ID")
    return _FIRST_PORT + _PORTS_OF_A_STEP * (step % _STEPS)


def _check_gpus(tasks_on_node: int) -> None:
    """Raise UserError where the tasks of this node see more GPUs than the step has there: some would share one."""
    visible = len(tf.config.get_visible_devices("GPU"))
    allocated = _number("SLURM_GPUS_ON_NODE") if "SLURM_GPUS_ON_NODE" in os.environ else 0
    if tasks_on_node > 1 and visible * tasks_on_node > allocated > 0:
        # Without --ntasks, srun ignores --ntasks-per-node in a job that was submitted with more tasks.
        advice = f"start one task on each node: srun --ntasks={_number('SLURM_STEP_NUM_NODES')} --ntasks-per-node=1"
        if allocated % tasks_on_node == 0:  # else Slurm refuses the option
            advice += f", or give each task its own GPUs: srun --gpus-per-task={allocated // tasks_on_node}"
        raise UserError(
            f"Slurm: expected GPUs of its own for each of the {tasks_on_node} tasks of a node that has {allocated}, "
            f"received {visible} visible to this one; {advice}"
        )


def _variable(name: str) -> str:
    if name not in os.environ:
        raise UserError(f"Slurm: expected {name} in the environment, as srun sets it, received none; {_ADVICE}")
    return os.environ[name]


def _number(name: str) -> int:
    text = _variable(name)
    if not text.isdecimal():
        raise UserError(f"{name}: expected a number, as srun sets it, received {text!r}; {_ADVICE}")
    return int(text)
