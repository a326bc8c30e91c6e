"""Where a step makes the host wait for a GPU, from the kernels that this TensorFlow has for GPUs.

A host that waits cannot launch what comes next, so the GPU is idle afterwards until it catches up.
"""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from tests.graph_placement import has_gpu_kernels, host_waits
from tests.graphs import loop_body
from tests.training.tiny import NETWORK_OPTIONS, PLAIN_NETWORKS, make_trainer, one_device, tiny_config

pytestmark = pytest.mark.skipif(not has_gpu_kernels(), reason="this TensorFlow was built without kernels for GPUs")

OPTIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "bfloat16": {"precision": "mixed_bfloat16", "r1_weight": 0.1, **NETWORK_OPTIONS},
    "jit_compile": {"jit_compile": True, **PLAIN_NETWORKS},
    "auxiliary_classifier": {"conditioning": "auxiliary_classifier", "loss": "non_saturating", **PLAIN_NETWORKS},
    "without_classes": {"conditioning": "none", "num_classes": 0, **PLAIN_NETWORKS},
    "pairs": {"loss": "relativistic", "generator_top_k": 0.5, "generator_top_k_decay_steps": 3, **PLAIN_NETWORKS},
    "updates": {
        "gradient_accumulation_steps": 2,
        "discriminator_steps_per_step": 2,
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
"""Options by name. Float16 is left out: its dynamic loss scale decides on the host whether an update is applied."""


@pytest.mark.parametrize("name", OPTIONS)
def test_a_step_does_not_make_the_host_wait_for_a_gpu(name: str) -> None:
    trainer = make_trainer(tiny_config(**OPTIONS[name]), one_device())
    body = loop_body(trainer.loop_graph())
    assert len(body.get_operations()) > 100
    assert host_waits(body) == []


def test_waits_are_found() -> None:
    @tf.function(autograph=False)
    def step(x: tf.Tensor, labels: tf.Tensor) -> Any:
        labels = labels + 1
        wanted = tf.where(x[0] > 0.0, labels, -labels)
        return tf.split(wanted, 2), tf.reshape(x, [tf.cast(x[0], tf.int32), -1])

    graph = step.get_concrete_function(tf.TensorSpec([4]), tf.TensorSpec([4], tf.int32)).graph
    assert sorted(host_waits(graph)) == [("Cast", "int32", "Pack"), ("SelectV2", "int32", "Split")]
