"""Tests of the messages between two replicas in a step."""

from typing import Any

import pytest
import tensorflow as tf

from sagan_tf.layers.accelerators import assume_device
from tests.graph_placement import find_host_waits, has_gpu_kernels
from tests.graphs import find_cross_device_tensors, find_loop_body
from tests.layers.replicas import REPLICAS, two_replicas
from tests.training.tiny import PLAIN_NETWORKS, make_trainer, tiny_config

UPDATES = 2


@pytest.mark.parametrize(
    ("kind", "options"),
    [("GPU", PLAIN_NETWORKS), *(pytest.param(kind, {}, marks=pytest.mark.slow) for kind in ("CPU", "GPU"))],
)
def test_gradients_and_statistics_are_one_message_per_update_and_all_else_is_small(kind, options):
    """`u` of spectral normalization is not sent; each replica computes the same."""
    with assume_device(kind):
        trainer = make_trainer(tiny_config(discriminator_steps_per_step=UPDATES, **options), two_replicas())
        state, body = trainer.state, find_loop_body(trainer.trace_loop())
    collectives = [operation for operation in body.get_operations() if operation.type.startswith("Collective")]
    sent = sorted(operation.inputs[0].shape.num_elements() for operation in collectives)
    gradients = {
        name: count_values(getattr(state, name).trainable_variables) for name in ("discriminator", "generator")
    }
    statistics = count_values(
        [variable for variable in state.generator.variables if variable.name.startswith("moving_")]
    )
    expected = [statistics, gradients["generator"], *[gradients["discriminator"]] * UPDATES]
    assert sent == sorted(expected * REPLICAS)
    assert kind == "CPU" or not has_gpu_kernels() or find_host_waits(body) == []
    copied = find_cross_device_tensors(body)
    metrics = [tensor for tensor in copied if tensor.dtype == tf.float32]
    counters = [tensor for tensor in copied if tensor.dtype == tf.int64]  # the update counters of the optimizers
    assert [tensor.op.type for tensor in metrics] == ["Pack"] * (UPDATES + 1)
    assert len(copied) == len(metrics) + len(counters) and len(counters) == UPDATES + 1


def count_values(variables: list[Any]) -> int:
    return sum(variable.shape.num_elements() for variable in variables)
