"""What is all-reduced: the formula against the compiled graph of two replicas."""

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
from tools.scaling_model.reductions import pack_gradients, reductions
from tools.scaling_model.step import NetworkSizes, network_sizes

# Networks without attention and spectral normalisation are traced faster.
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
"""Bytes of a pack and options of the run, by name."""


def several_workers(bytes_per_pack: int) -> tf.distribute.Strategy:
    """Return the strategy of several workers with GPUs, with two replicas in this process."""
    options = create_communication_options("auto", has_gpus=True)
    packed = tf.distribute.experimental.CommunicationOptions(bytes_per_pack, implementation=options.implementation)
    return tf.distribute.MultiWorkerMirroredStrategy._from_local_devices(["CPU:0", "CPU:1"], packed)


def all_reduces(graph: tf.Graph) -> list[tf.Operation]:
    """All-reduces of the first replica, in the graph and the functions that it calls."""
    operations = graph.get_operations()
    inside = [
        one for operation in operations for called in find_called_graphs(operation) for one in all_reduces(called)
    ]
    found = [one for one in operations if one.type.startswith(("Collective", "Nccl"))]
    return [one for one in found if one.device.endswith("CPU:0")] + inside


def num_bytes(operation: tf.Operation) -> int:
    (tensor, *_) = operation.inputs
    assert operation.type == "CollectiveReduceV2" and tensor.dtype == tf.float32
    return tensor.shape.num_elements() * 4


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Config, NetworkSizes, int, list[int]]:
    """A configuration, the sizes of its networks, and how its compiled loop sends gradients: pack size and all-reduces.

    All-reduces are their bytes.
    """
    bytes_per_pack, options = CASES[request.param]
    config = tiny_config(**options)
    trainer = make_trainer(config, several_workers(bytes_per_pack))
    found = sorted(map(num_bytes, all_reduces(trainer.trace_loop())))
    return config, network_sizes(trainer.state), bytes_per_pack, found


def test_the_graph_of_two_replicas(case: tuple[Config, NetworkSizes, int, list[int]]) -> None:
    config, sizes, bytes_per_pack, found = case
    expected = reductions(sizes, config, bytes_per_pack)
    assert len(found) == sum(one.worker_messages for one in expected)
    assert sum(found) == sum(one.num_bytes for one in expected)
    gradients = expected[:2]
    if bytes_per_pack:
        assert all(one.worker_messages > one.messages for one in gradients)
    else:
        assert all(one.worker_messages == one.messages for one in gradients)


def test_the_messages_of_an_update(case: tuple[Config, NetworkSizes, int, list[int]]) -> None:
    config, sizes, bytes_per_pack, found = case
    packs = pack_gradients(sizes.discriminator_variables, bytes_per_pack)
    packs = packs * config.training.discriminator_steps_per_step
    packs += pack_gradients(sizes.generator_variables, bytes_per_pack)
    sent = collections.Counter(4 * size for size in packs)
    assert sent <= collections.Counter(found)


def test_gradients_can_be_sent_before_the_last_one_is_computed() -> None:
    """Each pack waits for its own gradients: the first does not wait for those of the layers that come first."""
    trainer = make_trainer(tiny_config(**PLAIN), several_workers(1000))
    body = find_loop_body(trainer.trace_loop())
    packs = [one for one in body.get_operations() if one.type == "CollectiveReduceV2" and one.device.endswith("CPU:0")]
    of_discriminator = len(pack_gradients(network_sizes(trainer.state).discriminator_variables, 1000))
    assert of_discriminator > 1
    waits = [find_predecessors(one) for one in packs[:of_discriminator]]
    convolutions = [sum("Conv2DBackpropFilter" in name for name in names) for names in waits]
    assert 0 < convolutions[0] < convolutions[-1]


def test_packs_are_whole_gradients_from_the_last_on() -> None:
    assert pack_gradients([5, 4, 3, 2, 1], 0) == [15]
    assert pack_gradients([5, 4, 3, 2, 1], 4) == [3, 3, 4, 5]  # a pack is closed once it is larger
    assert pack_gradients([5, 4, 3, 2, 1], 24) == [10, 5]
    assert pack_gradients([5, 4, 3, 2, 1], 1000) == [15]


def test_by_name() -> None:
    sizes = NetworkSizes((600, 400), (60, 40), normalizations=3, normalized_channels=20)
    config = tiny_config(discriminator_steps_per_step=5, synchronized_batch_norm=True, precision="mixed_float16")
    found = {one.name: (one.messages, one.worker_messages, one.num_bytes) for one in reductions(sizes, config, 50)}
    assert found == {
        "gradients of the discriminator": (5, 10, 5 * 400),
        "gradients of the generator": (1, 2, 4000),
        "moving means and variances": (1, 1, 160),
        "what is logged": (6, 6, 4 * (5 * 5 + 2)),
        "batch statistics": (7 * 3, 7 * 3, 7 * 160),
        "whether gradients overflowed": (6, 6, 24),
    }
    plain = tiny_config(discriminator_steps_per_step=5)
    assert len(reductions(sizes, plain)) == 4


@pytest.mark.parametrize(("collectives", "is_packed"), [("auto", True), ("nccl", True), ("ring", False)])
def test_packs_are_as_large_as_training_makes_them(collectives: str, is_packed: bool) -> None:
    options = create_communication_options(collectives, has_gpus=True)
    sizes = NetworkSizes((10**8,) * 3, (10**6,) * 3, normalizations=0, normalized_channels=0)
    config = tiny_config(collectives=collectives)
    assert reductions(sizes, config) == reductions(sizes, config, options.bytes_per_pack)
    assert reductions(sizes, config)[1].worker_messages == (3 if is_packed else 1)
