"""What is all-reduced: the formula against the compiled graph of two replicas."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.config import Config
from tests.training.tiny import PLAIN_NETWORKS, make_trainer, tiny_config
from tools.benchmarks.arithmetic import called_graphs
from tools.scaling_model.reductions import reductions
from tools.scaling_model.step import NetworkSizes, network_sizes

# Networks without attention and spectral normalisation are traced faster.
PLAIN = {**PLAIN_NETWORKS, "generator_spectral_norm": False, "discriminator_spectral_norm": False}
CASES: dict[str, dict[str, Any]] = {
    "sagan": {},
    "synchronized, in parts, bfloat16": {
        **PLAIN,
        "synchronized_batch_norm": True,
        "gradient_accumulation_steps": 2,
        "discriminator_steps_per_step": 2,
        "precision": "mixed_bfloat16",
    },
    "float16, no classes": {**PLAIN, "precision": "mixed_float16", "conditioning": "none", "num_classes": 0},
}


def several_workers() -> tf.distribute.Strategy:
    """The strategy of several workers, with two replicas in this process."""
    return tf.distribute.MultiWorkerMirroredStrategy._from_local_devices(["CPU:0", "CPU:1"])


def all_reduces(graph: tf.Graph) -> list[tf.Operation]:
    """All-reduces of the first replica, in the graph and the functions that it calls."""
    operations = graph.get_operations()
    inside = [one for operation in operations for called in called_graphs(operation) for one in all_reduces(called)]
    found = [one for one in operations if one.type.startswith(("Collective", "Nccl"))]
    return [one for one in found if one.device.endswith("CPU:0")] + inside


def num_bytes(operation: tf.Operation) -> int:
    (tensor, *_) = operation.inputs
    assert operation.type == "CollectiveReduceV2" and tensor.dtype == tf.float32
    return tensor.shape.num_elements() * 4


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Config, NetworkSizes, list[int]]:
    """A configuration, the sizes of its networks, and the bytes of every all-reduce in its compiled loop."""
    config = tiny_config(**CASES[request.param])
    trainer = make_trainer(config, several_workers())
    return config, network_sizes(trainer.state), sorted(map(num_bytes, all_reduces(trainer.loop_graph())))


def test_the_graph_of_two_replicas(case: tuple[Config, NetworkSizes, list[int]]) -> None:
    config, sizes, found = case
    expected = reductions(sizes, config)
    assert len(found) == sum(one.messages for one in expected)
    assert sum(found) == sum(one.num_bytes for one in expected)


def test_the_gradients_of_an_update_are_one_message(case: tuple[Config, NetworkSizes, list[int]]) -> None:
    config, sizes, found = case
    updates = [4 * sizes.discriminator] * config.training.discriminator_steps_per_step + [4 * sizes.generator]
    assert found[-len(updates) :] == sorted(updates)


def test_by_name() -> None:
    sizes = NetworkSizes(generator=1000, discriminator=100, normalizations=3, normalized_channels=20)
    config = tiny_config(discriminator_steps_per_step=5, synchronized_batch_norm=True, precision="mixed_float16")
    found = {one.name: (one.messages, one.num_bytes) for one in reductions(sizes, config)}
    assert found == {
        "gradients of the discriminator": (5, 5 * 400),
        "gradients of the generator": (1, 4000),
        "moving means and variances": (1, 160),
        "what is logged": (6, 4 * (5 * 5 + 2)),
        "batch statistics": (7 * 3, 7 * 160),
        "whether gradients overflowed": (6, 24),
    }
    plain = tiny_config(discriminator_steps_per_step=5)
    assert len(reductions(sizes, plain)) == 4
