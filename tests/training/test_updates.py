"""What is off builds no operation: then a run is the same to the bit as one of a program without the option."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest
import tensorflow as tf

from sagan_tf.augmentation import AUGMENTATIONS
from sagan_tf.generation.latents import LatentSampler
from sagan_tf.losses import LOSSES
from sagan_tf.regularization import REGULARIZERS
from sagan_tf.training.discriminator_outputs import judge
from sagan_tf.training.state import TrainState
from sagan_tf.training.steps import AlternatingUpdates
from sagan_tf.training.updates import create_updates
from tests.training.tiny import NUM_CLASSES, PLAIN_NETWORKS, make_state, one_device, real_batch, tiny_config

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
"""Options that change nothing, since those that they belong to are off."""
ON = [(network, {name: 0.5}) for network, entries in REGULARIZERS.items() for name in entries]
ON += [(network, {"augment": (name,)}) for network in STEPS for name in AUGMENTATIONS]
ON += [("generator", {"generator_top_k": 0.5})]


@functools.cache
def state() -> TrainState:
    """A state that LeCam can be used with."""
    return make_state(tiny_config(**PLAIN_NETWORKS, lecam_weight=0.5), one_device())


def sampler() -> LatentSampler:
    return LatentSampler(seed=0, latent_dim=5, num_classes=NUM_CLASSES, global_batch_size=4)


@functools.cache
def operations_of_the_algorithm(network: str) -> list[tuple[str, ...]]:
    """Those of updates that nothing but networks, loss, judge and sampler was given to."""
    updates = AlternatingUpdates(
        state(), LOSSES["hinge"], judge, sampler(), augment=lambda images, random_numbers: images
    )
    return operations(getattr(updates, STEPS[network]))


def operations_with(network: str, **options: object) -> list[tuple[str, ...]]:
    updates = create_updates(tiny_config(**PLAIN_NETWORKS, **options), state())
    return operations(getattr(updates, STEPS[network]))


def operations(function: Callable[..., object]) -> list[tuple[str, ...]]:
    """Return type, name, inputs and attributes of every operation that the results of a function on a replica need."""
    traced = tf.function(lambda *inputs: one_device().run(function, inputs), autograph=False)
    graph = traced.get_concrete_function(*real_batch(tiny_config()), DRAW).graph
    results = [tensor.op.name for tensor in graph.outputs] + [one.name for one in graph.control_outputs]
    needed = tf.compat.v1.graph_util.extract_sub_graph(graph.as_graph_def(), results)
    assert not needed.library.function  # whose operations would be missing here
    for node in needed.node:
        node.attr.pop("_gradient_op_type", None)  # a number that counts on through the process
    return [(node.op, node.name, *node.input, *map(str, sorted(node.attr.items(), key=str))) for node in needed.node]


@pytest.mark.parametrize("options", [{}, UNUSED], ids=["defaults", "unused"])
@pytest.mark.parametrize("network", STEPS)
def test_what_is_off_builds_no_operation(network: str, options: dict[str, object]) -> None:
    assert operations_with(network, **options) == operations_of_the_algorithm(network)


@pytest.mark.parametrize("network", STEPS)
def test_the_algorithm_draws_latents_and_labels_alone(network: str) -> None:
    drawn = operations(lambda images, labels, draw: sampler().draw_for_replica(draw))
    random = [
        [one[0] for one in found if "Random" in one[0]] for found in (drawn, operations_of_the_algorithm(network))
    ]
    assert random[0] == random[1] and len(random[0]) >= 2


@pytest.mark.parametrize(("network", "options"), ON, ids=lambda value: value if isinstance(value, str) else str(*value))
def test_what_is_on_builds_some(network: str, options: dict[str, object]) -> None:
    assert len(operations_with(network, **options)) > len(operations_of_the_algorithm(network))
