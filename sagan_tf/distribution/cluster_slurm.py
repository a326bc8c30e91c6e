"""Workers that are the tasks of a Slurm step."""

from __future__ import annotations

import os

import tensorflow as tf

from sagan_tf.errors import UserError

# Ports are from 10000 to 32399, below those that Linux gives to connections (32768 and up). Jobs that share a node have
# similar numbers and run few steps at a time, so that they start at different ports. Even nodes with the most GPUs need
# no more than 16 tasks.
_FIRST_PORT = 10000
_PORTS_PER_STEP = 16
_MAX_STEPS = 1400
_STEP_STRIDE = 97
_ADVICE = "start the program with srun, or unset SLURM_STEP_NUM_TASKS to train without other workers"


def count_workers() -> int:
    """Return the number of tasks of the Slurm step of this process, or 0.

    It is 0 outside a step, as in a batch script without `srun`.

    Raises:
        UserError: SLURM_STEP_NUM_TASKS is not a number.
    """
    return _read_number("SLURM_STEP_NUM_TASKS") if "SLURM_STEP_NUM_TASKS" in os.environ else 0


def find_workers() -> tuple[list[str], int]:
    """Return the addresses of the step's tasks and the index of this task.

    TensorFlow's resolver expands Slurm's lists of nodes and tasks and sorts the nodes by name. Slurm sorts them, too,
    but n9 before n10, and with a cyclic distribution the ranks go around the nodes. The resolver takes the rank of a
    task as its index, which is right for some lists only. A task knows its node and its number on that node, and with
    them its address.

    Slurm binds the GPUs, because it knows what else runs on a node. The resolver would call `nvidia-smi` and number the
    GPUs of the node from 0. It does not accept a node without GPUs, so it gets as many GPUs as tasks, one for each.

    Returns:
        The addresses, host:port, which are the same in all tasks, and the index of this task in them.

    Raises:
        UserError: A variable is missing or is not as Slurm writes it, or tasks of a node share GPUs.
    """
    first_port = _find_first_port()
    try:
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=first_port, gpus_per_node=count_workers(), gpus_per_task=1, auto_set_gpu=False
        )
        addresses = resolver.cluster_spec().as_dict()["worker"]
    except (RuntimeError, ValueError) as error:
        raise UserError(
            f"Slurm: the environment variables are not those of a step that srun started ({error}); {_ADVICE}"
        ) from error
    node = _read_variable("SLURMD_NODENAME")
    own = f"{node}:{first_port + _read_number('SLURM_LOCALID')}"
    if own not in addresses:
        raise UserError(
            f"Slurm: this task, {own}, is not one of the tasks of the step, {', '.join(addresses)}; {_ADVICE}"
        )
    _check_gpus(sum(address.rpartition(":")[0] == node for address in addresses))
    return addresses, addresses.index(own)


def _find_first_port() -> int:
    """Return the port of the first task on a node; other tasks have the next ports."""
    step = _read_number("SLURM_JOB_ID") + _STEP_STRIDE * _read_number("SLURM_STEP_ID")
    return _FIRST_PORT + _PORTS_PER_STEP * (step % _MAX_STEPS)


def _check_gpus(tasks_on_node: int) -> None:
    """Raise UserError if tasks on this node share a GPU.

    That is so if they see more GPUs in total than the step has on the node.
    """
    visible = len(tf.config.get_visible_devices("GPU"))
    allocated = _read_number("SLURM_GPUS_ON_NODE") if "SLURM_GPUS_ON_NODE" in os.environ else 0
    if tasks_on_node > 1 and visible * tasks_on_node > allocated > 0:
        # Without --ntasks, srun ignores --ntasks-per-node in a job that was submitted with more tasks.
        num_nodes = _read_number("SLURM_STEP_NUM_NODES")
        advice = f"start one task on each node: srun --ntasks={num_nodes} --ntasks-per-node=1"
        if allocated % tasks_on_node == 0:  # Slurm rejects the option otherwise.
            advice += f", or give each task its own GPUs: srun --gpus-per-task={allocated // tasks_on_node}"
        raise UserError(
            f"Slurm: the {tasks_on_node} tasks on this node share its {allocated} GPUs, because this task sees "
            f"{visible} of them; {advice}"
        )


def _read_variable(name: str) -> str:
    if name not in os.environ:
        raise UserError(f"Slurm: {name}, which srun sets, is not in the environment; {_ADVICE}")
    return os.environ[name]


def _read_number(name: str) -> int:
    text = _read_variable(name)
    if not text.isdecimal():
        raise UserError(f"{name}: expected a number, as srun sets it, received {text!r}; {_ADVICE}")
    return int(text)
