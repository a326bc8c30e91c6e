"""A TPU strategy on a machine without a TPU, which can trace the programs for a TPU but cannot run them."""

import collections
import types
from typing import Any

import numpy as np
import tensorflow as tf

_Device = collections.namedtuple("_Device", "name")
_MACHINE = "/job:localhost/replica:0/task:0/device"


def simulated_tpu_strategy(num_chips: int = 2) -> tf.distribute.TPUStrategy:
    """Return a strategy with variables on logical CPUs and replica functions that become programs for a TPU."""
    metadata = types.SimpleNamespace(
        devices=[_Device(f"{_MACHINE}:TPU:{index}") for index in range(num_chips)],
        num_cores=num_chips,
        num_of_cores_per_host=num_chips,
        num_hosts=1,
    )
    strategy = tf.distribute.TPUStrategy(types.SimpleNamespace(get_tpu_system_metadata=lambda: metadata))
    cpus = [f"{_MACHINE}:CPU:{index}" for index in range(num_chips)]
    extended = strategy.extended
    extended._tpu_devices = np.array([[cpu] for cpu in cpus], dtype=object)
    extended._host_device = cpus[0]
    extended._device_input_worker_devices = collections.OrderedDict({cpus[0]: cpus})
    extended._host_input_worker_devices = collections.OrderedDict({cpus[0]: cpus[:1] * num_chips})
    return strategy


def split_nodes_by_program(graph: tf.Graph) -> tuple[list[Any], list[Any]]:
    """Return the nodes of programs for the TPU and the nodes around the programs.

    The nodes are those of a graph and of its functions.
    """
    definition = graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    # A node of a program has the name of the program as an attribute. A function that a program calls is traced only
    # once for both.
    inside = [node for node in nodes if "_tpu_replicate" in node.attr]
    return inside, [node for node in nodes if "_tpu_replicate" not in node.attr]
