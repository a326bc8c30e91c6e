"""Tests that options that are off create no operation."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS
from sagan_tf.generation.latents import LatentSampler
from sagan_tf.losses import LOSSES
from sagan_tf.regularization import REGULARIZERS
from sagan_tf.training.discriminator_outputs import call_discriminator
from sagan_tf.training.state import TrainState
from sagan_tf.training.steps import AlternatingUpdates
from sagan_tf.training.updates import create_updates
from tests.training.tiny import NUM_CLASSES, PLAIN_NETWORKS, make_real_batch, make_state, one_device, tiny_config

STEPS = {"discriminator": "discriminator_step", "generator": "generator_step"}
DRAW = tf.constant(3, tf.int64)
UNUSED = {
    "gradient_penalty_final_fraction": 0.5,
    "gradient_penalty_anneal_steps": 7,
    "lecam_clip": True,
    "lecam_decay": 0.5,
    "lecam_start_step": 7,
    "latent_noise": 0.5,
    "generator_top_k_decay_steps": 7,
    "ada_speed_images": 7,
}
"""Options without an effect, because the options that they depend on are off."""
ON: list[tuple[str, dict[str, Any]]] = [
    (network, {name: 0.5}) for network, entries in REGULARIZERS.items() for name in entries
]
ON += [(network, {"augment": (name,)}) for network in STEPS for name in AUGMENTATIONS]


@functools.cache
def make_lecam_state() -> TrainState:
    return make_state(tiny_config(**PLAIN_NETWORKS, lecam_weight=0.5), one_device())


def make_sampler() -> LatentSampler:
    return LatentSampler(seed=0, latent_dim=5, num_classes=NUM_CLASSES, global_batch_size=4)


@functools.cache
def trace_algorithm(network: str) -> list[tuple[str, ...]]:
    """Return the operations of updates without any optional part."""
    updates = AlternatingUpdates(
        make_lecam_state(),
        LOSSES["hinge"],
        call_discriminator,
        make_sampler(),
        augment=lambda images, random_numbers: images,
    )
    return trace_operations(getattr(updates, STEPS[network]))


def trace_with_options(network: str, **options: object) -> list[tuple[str, ...]]:
    updates = create_updates(tiny_config(**PLAIN_NETWORKS, **options), make_lecam_state())
    return trace_operations(getattr(updates, STEPS[network]))


def trace_operations(function: Callable[..., object]) -> list[tuple[str, ...]]:
    """Return all operations of a function on a replica that its results need."""
    traced = tf.function(lambda *inputs: one_device().run(function, inputs), autograph=False)
    graph = traced.get_concrete_function(*make_real_batch(tiny_config()), DRAW).graph
    results = [tensor.op.name for tensor in graph.outputs] + [operation.name for operation in graph.control_outputs]
    needed = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), results)
    assert not needed.library.function  # the operations of library functions would be missing
    for node in needed.node:
        node.attr.pop("_gradient_op_type", None)  # a counter of the process
    return [(node.op, node.name, *node.input, *map(str, sorted(node.attr.items(), key=str))) for node in needed.node]


@pytest.mark.parametrize("options", [{}, UNUSED], ids=["defaults", "unused"])
@pytest.mark.parametrize("network", STEPS)
def test_options_that_are_off_create_no_operation(network, options):
    assert trace_with_options(network, **options) == trace_algorithm(network)


@pytest.mark.parametrize("network", STEPS)
def test_the_algorithm_draws_only_latents_and_labels(network):
    drawn = trace_operations(lambda images, labels, draw: make_sampler().draw_for_replica(draw))
    random = [
        [operation[0] for operation in operations if "Random" in operation[0]]
        for operations in (drawn, trace_algorithm(network))
    ]
    assert random[0] == random[1] and len(random[0]) >= 2


@pytest.mark.parametrize(
    ("network", "options"),
    [("generator", {"generator_top_k": 0.5}), *(pytest.param(*on, marks=pytest.mark.slow) for on in ON)],
    ids=lambda value: value if isinstance(value, str) else str(*value),
)
def test_options_that_are_on_create_operations(network, options):
    assert len(trace_with_options(network, **options)) > len(trace_algorithm(network))
