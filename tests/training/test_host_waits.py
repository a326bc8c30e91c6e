"""Tests that the host does not wait for a GPU in a step.

The tests use the list of GPU kernels of this TensorFlow. A host that waits cannot launch the next kernels, so that the
GPU is idle afterwards.
"""

from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.layers.accelerators import assume_device
from tests.graph_placement import find_host_waits, has_gpu_kernels
from tests.graphs import find_loop_body
from tests.training.tiny import (
    NETWORK_OPTIONS,
    PLAIN_NETWORKS,
    make_trainer,
    one_device,
    tiny_config,
)

pytestmark = pytest.mark.skipif(not has_gpu_kernels(), reason="this TensorFlow was built without kernels for GPUs")

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "bfloat16": {"precision": "mixed_bfloat16", "r1_weight": 0.1, **NETWORK_OPTIONS},
    "jit_compile": {"jit_compile": True, **PLAIN_NETWORKS},
    "auxiliary_classifier": {"conditioning": "auxiliary_classifier", "loss": "non_saturating", **PLAIN_NETWORKS},
    "without_classes": {"conditioning": "none", "num_classes": 0, **PLAIN_NETWORKS},
    "pairs": {
        "loss": "relativistic",
        "generator_top_k": 0.5,
        "generator_top_k_decay_steps": 3,
        "discriminator_steps_per_step": 2,
        **PLAIN_NETWORKS,
    },
    "updates": {
        "gradient_accumulation_steps": 2,
        "learning_rate_schedule": "linear",
        "learning_rate_decay_steps": 9,
        "augment": ("color", "translation", "cutout", "flip"),
        "ada_target": 0.5,
        "class_margin_weight": 1.0,
        "lecam_weight": 0.1,
        "consistency_weight": 1.0,
        "latent_consistency_weight": 1.0,
        "orthogonal_regularization": 0.1,
        **PLAIN_NETWORKS,
    },
}
"""Options by name. Float16 is missing, because its dynamic loss scale decides on the host if an update is applied."""


OTHER = [*(("GPU", name) for name in OPTIONS if name != "default"), ("TPU", "default"), ("TPU", "bfloat16")]
"""Layers use their TPU forms on a GPU that XLA cannot compile for."""
CASES = [("GPU", "default"), *(pytest.param(*case, marks=pytest.mark.slow) for case in OTHER)]


def trace_step(kind: str, options: dict[str, Any], strategy: tf.distribute.Strategy) -> tf.Graph:
    """Return the graph of a step, with the forms of the layers for a kind of device."""
    with assume_device(kind):
        return find_loop_body(make_trainer(tiny_config(**options), strategy).trace_loop())


def count_compiled_calls(graph: tf.Graph) -> int:
    return sum("_XlaMustCompile" in operation.node_def.attr for operation in graph.get_operations())


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_a_step_does_not_make_the_host_wait_for_a_gpu(kind, name):
    body = trace_step(kind, OPTIONS[name], one_device())
    assert len(body.get_operations()) > 100
    assert (count_compiled_calls(body) > 0) == (kind == "GPU")
    assert find_host_waits(body) == []


def test_host_waits_are_detected():
    @tf.function(autograph=False)
    def step(x: tf.Tensor, labels: tf.Tensor) -> Any:
        labels = labels + 1
        wanted = tf.where(x[0] > 0.0, labels, -labels)
        return tf.split(wanted, 2), tf.reshape(x, [tf.cast(x[0], tf.int32), -1])

    graph = step.get_concrete_function(tf.TensorSpec([4]), tf.TensorSpec([4], tf.int32)).graph
    assert sorted(find_host_waits(graph)) == [("Cast", "int32", "Pack"), ("SelectV2", "int32", "Split")]
