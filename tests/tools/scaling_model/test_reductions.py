"""All-reduces, compared with the compiled graph of two replicas."""

from __future__ import annotations

import collections
from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.config import Config
from sagan_tf.distribution.strategy import create_communication_options
from tests.graphs import find_loop_body, find_predecessors
from tests.training.tiny import PLAIN_NETWORKS, make_trainer, tiny_config
from tools.benchmarks.arithmetic import find_called_graphs
from tools.scaling_model.reductions import list_reductions, pack_gradients
from tools.scaling_model.step import NetworkSizes, count_network_sizes

# Networks without attention and spectral normalization are traced faster.
PLAIN = {**PLAIN_NETWORKS, "generator_spectral_norm": False, "discriminator_spectral_norm": False}
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "sagan": (2000, {}),
    "synchronized, in parts, bfloat16": (
        1000,
        {
            **PLAIN,
            "synchronized_batch_norm": True,
            "gradient_accumulation_steps": 2,
            "discriminator_steps_per_step": 2,
            "precision": "mixed_bfloat16",
        },
    ),
    "float16, no classes": (0, {**PLAIN, "precision": "mixed_float16", "conditioning": "none", "num_classes": 0}),
}
"""Bytes of a pack, and options of the run, by name."""


def make_workers_strategy(bytes_per_pack: int) -> tf.distribute.Strategy:
    """Return the strategy of several workers with GPUs, with two replicas in this process."""
    options = create_communication_options("auto", has_gpus=True)
    packed = tf.distribute.experimental.CommunicationOptions(bytes_per_pack, implementation=options.implementation)
    return tf.distribute.MultiWorkerMirroredStrategy._from_local_devices(["CPU:0", "CPU:1"], packed)


def find_all_reduces(graph: tf.Graph) -> list[tf.Operation]:
    """Return the all-reduces of the first replica in a graph and its functions."""
    operations = graph.get_operations()
    inside = [
        called_operation
        for operation in operations
        for called in find_called_graphs(operation)
        for called_operation in find_all_reduces(called)
    ]
    found = [operation for operation in operations if operation.type.startswith(("Collective", "Nccl"))]
    return [operation for operation in found if operation.device.endswith("CPU:0")] + inside


def count_bytes(operation: tf.Operation) -> int:
    (tensor, *_) = operation.inputs
    assert operation.type == "CollectiveReduceV2" and tensor.dtype == tf.float32
    return tensor.shape.num_elements() * 4


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Config, NetworkSizes, int, list[int]]:
    """Return a configuration and how its compiled loop sends gradients.

    Returns:
        The configuration, the sizes of its networks, the pack size and the bytes of each all-reduce.
    """
    bytes_per_pack, options = CASES[request.param]
    config = tiny_config(**options)
    trainer = make_trainer(config, make_workers_strategy(bytes_per_pack))
    found = sorted(map(count_bytes, find_all_reduces(trainer.trace_loop())))
    return config, count_network_sizes(trainer.state), bytes_per_pack, found


def test_messages_and_bytes_equal_those_of_the_graph(case: tuple[Config, NetworkSizes, int, list[int]]) -> None:
    config, sizes, bytes_per_pack, found = case
    expected = list_reductions(sizes, config, bytes_per_pack)
    assert len(found) == sum(reduction.worker_messages for reduction in expected)
    assert sum(found) == sum(reduction.num_bytes for reduction in expected)
    gradients = expected[:2]
    if bytes_per_pack:
        assert all(reduction.worker_messages > reduction.messages for reduction in gradients)
    else:
        assert all(reduction.worker_messages == reduction.messages for reduction in gradients)


def test_packs_are_messages_of_the_graph(case: tuple[Config, NetworkSizes, int, list[int]]) -> None:
    config, sizes, bytes_per_pack, found = case
    packs = pack_gradients(sizes.discriminator_variables, bytes_per_pack)
    packs = packs * config.training.discriminator_steps_per_step
    packs += pack_gradients(sizes.generator_variables, bytes_per_pack)
    sent = collections.Counter(4 * size for size in packs)
    assert sent <= collections.Counter(found)


def test_packs_do_not_wait_for_the_last_gradient() -> None:
    """The first pack does not wait for the gradients of the first layers."""
    trainer = make_trainer(tiny_config(**PLAIN), make_workers_strategy(1000))
    body = find_loop_body(trainer.trace_loop())
    reductions = [operation for operation in body.get_operations() if operation.type == "CollectiveReduceV2"]
    packs = [operation for operation in reductions if operation.device.endswith("CPU:0")]
    num_packs = len(pack_gradients(count_network_sizes(trainer.state).discriminator_variables, 1000))
    assert num_packs > 1
    waits = [find_predecessors(pack) for pack in packs[:num_packs]]
    convolutions = [sum("Conv2DBackpropFilter" in name for name in names) for names in waits]
    assert 0 < convolutions[0] < convolutions[-1]


def test_packs_are_whole_gradients_in_reverse_order() -> None:
    assert pack_gradients([5, 4, 3, 2, 1], 0) == [15]
    assert pack_gradients([5, 4, 3, 2, 1], 4) == [3, 3, 4, 5]  # a pack is closed once it is larger
    assert pack_gradients([5, 4, 3, 2, 1], 24) == [10, 5]
    assert pack_gradients([5, 4, 3, 2, 1], 1000) == [15]


def test_all_reduces_by_name() -> None:
    sizes = NetworkSizes((600, 400), (60, 40), normalizations=3, normalized_channels=20)
    config = tiny_config(discriminator_steps_per_step=5, synchronized_batch_norm=True, precision="mixed_float16")
    reductions = list_reductions(sizes, config, 50)
    found = {kind.name: (kind.messages, kind.worker_messages, kind.num_bytes) for kind in reductions}
    assert found == {
        "gradients of the discriminator": (5, 10, 5 * 400),
        "gradients of the generator": (1, 2, 4000),
        "moving means and variances": (1, 1, 160),
        "what is logged": (6, 6, 4 * (5 * 5 + 2)),
        "batch statistics": (7 * 3, 7 * 3, 7 * 160),
        "whether gradients overflowed": (6, 6, 24),
    }
    plain = tiny_config(discriminator_steps_per_step=5)
    assert len(list_reductions(sizes, plain)) == 4


@pytest.mark.parametrize(("collectives", "is_packed"), [("auto", True), ("nccl", True), ("ring", False)])
def test_default_pack_size_equals_that_of_training(collectives: str, is_packed: bool) -> None:
    options = create_communication_options(collectives, has_gpus=True)
    sizes = NetworkSizes((10**8,) * 3, (10**6,) * 3, normalizations=0, normalized_channels=0)
    config = tiny_config(collectives=collectives)
    assert list_reductions(sizes, config) == list_reductions(sizes, config, options.bytes_per_pack)
    assert list_reductions(sizes, config)[1].worker_messages == (3 if is_packed else 1)
