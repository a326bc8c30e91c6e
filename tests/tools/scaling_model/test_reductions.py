"""All-reduces, compared with the compiled graph of two replicas."""

from __future__ import annotations

import collections
import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.distribution.strategy import create_communication_options
from sagan_tf.training.trainer import Trainer
from tests.graphs import find_loop_body, find_predecessors
from tests.training.tiny import PLAIN_NETWORKS, PLAINEST_NETWORKS, make_trainer, tiny_config
from tools.benchmarks.arithmetic import find_called_graphs
from tools.scaling_model.counts import list_reductions, pack_gradients

SYNCHRONIZED_IN_PARTS = {"synchronized_batch_norm": True, "gradient_accumulation_steps": 2} | PLAINEST_NETWORKS
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "spectral norm": (1000, PLAIN_NETWORKS),
    "synchronized": (1000, {**SYNCHRONIZED_IN_PARTS, "discriminator_steps_per_step": 2, "precision": "mixed_bfloat16"}),
    "float16": (0, {**PLAINEST_NETWORKS, "precision": "mixed_float16", "conditioning": "none", "num_classes": 0}),
}
"""Bytes of a pack, and options of the run."""


def make_workers_strategy(bytes_per_pack: int) -> tf.distribute.Strategy:
    """Return the strategy of several workers with GPUs, with two replicas in this process."""
    options = create_communication_options("auto", has_gpus=True)
    packed = tf.distribute.experimental.CommunicationOptions(bytes_per_pack, implementation=options.implementation)
    return tf.distribute.MultiWorkerMirroredStrategy._from_local_devices(["CPU:0", "CPU:1"], packed)


def find_all_reduces(graph: tf.Graph) -> list[tf.Operation]:
    """Return the all-reduces of the first replica in a graph and its functions."""
    operations = graph.get_operations()
    called = [graph for operation in operations for graph in find_called_graphs(operation)]
    found = [operation for operation in operations if operation.type.startswith(("Collective", "Nccl"))]
    inside = [operation for graph in called for operation in find_all_reduces(graph)]
    return [operation for operation in found if operation.device.endswith("CPU:0")] + inside


def count_sent_bytes(operation: tf.Operation) -> int:
    (tensor, *_) = operation.inputs
    assert operation.type == "CollectiveReduceV2" and tensor.dtype == tf.float32
    return tensor.shape.num_elements() * 4


@functools.cache
def trace(case: str) -> tuple[Trainer, tf.Graph]:
    bytes_per_pack, options = CASES[case]
    trainer = make_trainer(tiny_config(**options), make_workers_strategy(bytes_per_pack))
    return trainer, trainer.trace_loop()


@pytest.fixture(autouse=True, scope="module")
def _free_graphs() -> Iterator[None]:
    yield
    trace.cache_clear()


@pytest.mark.parametrize(
    "case", [pytest.param(case, marks=pytest.mark.slow) if case == "synchronized" else case for case in CASES]
)
def test_all_reduces_equal_those_of_the_compiled_graph_of_two_replicas(case: str) -> None:
    bytes_per_pack, options = CASES[case]
    config, (trainer, graph) = tiny_config(**options), trace(case)
    found = list(map(count_sent_bytes, find_all_reduces(graph)))
    expected = list_reductions(config, trainer.state, bytes_per_pack)
    assert len(found) == sum(reduction.worker_messages for reduction in expected)
    assert sum(found) == sum(reduction.num_bytes for reduction in expected)
    for gradients in expected[:2]:
        assert (gradients.worker_messages > gradients.messages) == bool(bytes_per_pack)
    packs = pack_gradients(trainer.state.discriminator, bytes_per_pack) * config.training.discriminator_steps_per_step
    packs += pack_gradients(trainer.state.generator, bytes_per_pack)
    assert collections.Counter(packs) <= collections.Counter(found)


def test_packs_do_not_wait_for_the_last_gradient() -> None:
    """The first pack does not wait for the gradients of the first layers."""
    trainer, graph = trace("spectral norm")
    body = find_loop_body(graph)
    reductions = [operation for operation in body.get_operations() if operation.type == "CollectiveReduceV2"]
    packs = [operation for operation in reductions if operation.device.endswith("CPU:0")]
    num_packs = len(pack_gradients(trainer.state.discriminator, 1000))
    assert num_packs > 1
    waits = [find_predecessors(pack) for pack in packs[:num_packs]]
    convolutions = [sum("Conv2DBackpropFilter" in name for name in names) for names in waits]
    assert 0 < convolutions[0] < convolutions[-1]


def make_network(sizes: list[int], normalized_channels: tuple[int, ...] = ()) -> Any:
    """Return the shapes of variables in place of a network."""
    variables = [SimpleNamespace(value=tf.TensorSpec([size])) for size in sizes]
    means = [SimpleNamespace(name="moving_mean", shape=(channels,)) for channels in normalized_channels]
    return SimpleNamespace(trainable_variables=variables, non_trainable_variables=means)


def test_packs_are_whole_gradients_in_reverse_order() -> None:
    network = make_network([5, 4, 3, 2, 1])
    assert pack_gradients(network, 0) == pack_gradients(network, 4000) == [60]
    assert pack_gradients(network, 4) == [12, 12, 16, 20]  # a pack is closed once it is larger
    assert pack_gradients(network, 24) == [40, 20]


def test_all_reduces_by_name() -> None:
    state: Any = SimpleNamespace(generator=make_network([600, 400], (10, 5, 5)), discriminator=make_network([60, 40]))
    config = tiny_config(discriminator_steps_per_step=5, synchronized_batch_norm=True, precision="mixed_float16")
    assert {kind.name: tuple(kind[1:]) for kind in list_reductions(config, state, 50)} == {
        "gradients of the discriminator": (5, 10, 5 * 400),
        "gradients of the generator": (1, 2, 4000),
        "moving means and variances": (1, 1, 160),
        "logged values": (6, 6, 4 * (5 * 5 + 2)),
        "batch statistics": (7 * 3, 7 * 3, 7 * 160),
        "whether gradients overflowed": (6, 6, 24),
    }
    assert len(list_reductions(tiny_config(discriminator_steps_per_step=5), state)) == 4


@pytest.mark.parametrize(("collectives", "is_packed"), [("auto", True), ("nccl", True), ("ring", False)])
def test_default_pack_size_equals_that_of_training(collectives: str, is_packed: bool) -> None:
    size = create_communication_options(collectives, has_gpus=True).bytes_per_pack
    state: Any = SimpleNamespace(generator=make_network([10**8] * 3), discriminator=make_network([10**6] * 3))
    config = tiny_config(collectives=collectives)
    assert list_reductions(config, state) == list_reductions(config, state, size)
    assert list_reductions(config, state)[1].worker_messages == (3 if is_packed else 1)
