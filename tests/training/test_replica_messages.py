"""What two replicas of one machine send each other in a step, with the collectives that GPUs use."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.layers.accelerators import assume_device
from tests.graphs import loop_body, tensors_between_devices
from tests.layers.replicas import REPLICAS, two_replicas
from tests.training.tiny import make_trainer, tiny_config

UPDATES = 2


@pytest.mark.parametrize("kind", ["CPU", "GPU"])
def test_gradients_and_statistics_are_one_message_an_update_and_nothing_else_is_large(kind: str) -> None:
    """In particular no u of spectral normalization: each replica computes the same. All else is a number or a few."""
    with assume_device(kind):
        trainer = make_trainer(tiny_config(discriminator_steps_per_step=UPDATES), two_replicas())
        state, body = trainer.state, loop_body(trainer.loop_graph())
    collectives = [one for one in body.get_operations() if one.type.startswith("Collective")]
    sent = sorted(one.inputs[0].shape.num_elements() for one in collectives)
    gradients = {name: size(getattr(state, name).trainable_variables) for name in ("discriminator", "generator")}
    statistics = size([one for one in state.generator.variables if one.name.startswith("moving_")])
    expected = [statistics, gradients["generator"], *[gradients["discriminator"]] * UPDATES]
    assert sent == sorted(expected * REPLICAS)
    copied = tensors_between_devices(body)
    metrics = [tensor for tensor in copied if tensor.dtype == tf.float32]
    counters = [tensor for tensor in copied if tensor.dtype == tf.int64]  # of the optimizers' updates
    assert [tensor.op.type for tensor in metrics] == ["Pack"] * (UPDATES + 1)
    assert len(copied) == len(metrics) + len(counters) and len(counters) == UPDATES + 1


def size(variables: list[Any]) -> int:
    return sum(variable.shape.num_elements() for variable in variables)
