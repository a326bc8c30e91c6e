"""Learning rate schedules compared with formulas, and their effect on Adam."""

import logging
import math
from typing import Any

import keras
import pytest
import tensorflow as tf

from sagan_tf.config import TrainingConfig
from sagan_tf.errors import UserError
from sagan_tf.schedules import compute_learning_rate_factor, create_learning_rate, warn_if_rates_reach_zero
from sagan_tf.training.state import create_optimizer
from sagan_tf.training.validation import check_config
from tests.training.tiny import tiny_config, two_replicas

DECAY: dict[str, Any] = {"learning_rate_decay_start": 100, "learning_rate_decay_steps": 50}


@pytest.mark.parametrize(
    ("options", "factors"),
    [
        ({}, {0: 1.0, 10**6: 1.0}),
        ({"learning_rate_warmup_steps": 4}, {0: 0.25, 1: 0.5, 3: 1.0, 4: 1.0, 10**6: 1.0}),
        (DECAY | {"learning_rate_schedule": "linear"}, {0: 1.0, 100: 1.0, 101: 0.98, 149: 0.02, 150: 0.0, 999: 0.0}),
        (
            DECAY | {"learning_rate_schedule": "cosine", "learning_rate_warmup_steps": 2},
            {0: 0.5, 1: 1.0, 100: 1.0, 110: (1.0 + math.cos(math.pi / 5.0)) / 2.0, 125: 0.5, 150: 0.0, 999: 0.0},
        ),
    ],
)
def test_factors(options, factors):
    config = TrainingConfig(**options)
    for step, factor in factors.items():
        found = float(compute_learning_rate_factor(config, tf.constant(step, tf.int64)))
        assert found == pytest.approx(factor, abs=1e-6)


@pytest.mark.parametrize("schedule", ["constant", "linear", "cosine"])
def test_warning_if_learning_rates_reach_zero(schedule, caplog):
    options = {"learning_rate_schedule": schedule} | (DECAY if schedule != "constant" else {})
    end = TrainingConfig(**options).learning_rate_end
    assert end == (None if schedule == "constant" else 150)
    with caplog.at_level(logging.WARNING, logger="sagan_tf"):
        warn_if_rates_reach_zero(TrainingConfig(**options, num_steps=150))
        assert caplog.text == ""
        warn_if_rates_reach_zero(TrainingConfig(**options, num_steps=151))
    assert [name in caplog.text for name in ("--num_steps=151", "--learning_rate_decay_steps=51")] == [bool(end)] * 2
    for step in () if end is None else (end - 1, end):
        factor = compute_learning_rate_factor(TrainingConfig(**options), tf.constant(step, tf.int64))
        assert (float(factor) == 0.0) == (step == end)


def test_constant_learning_rate_is_a_number():
    step = tf.Variable(0, dtype=tf.int64)
    assert create_learning_rate(TrainingConfig(), 0.5, step) == 0.5
    assert callable(create_learning_rate(TrainingConfig(learning_rate_warmup_steps=1), 0.5, step))


def test_decay_needs_a_number_of_steps():
    with pytest.raises(UserError, match="learning_rate_decay_steps.*cosine"):
        check_config(tiny_config(learning_rate_schedule="cosine"))


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_adam_uses_the_learning_rate_of_the_step_on_every_replica(precision):
    """For a constant gradient, Adam without a first moment changes a variable by the learning rate."""
    config = TrainingConfig(precision=precision, learning_rate_schedule="linear", **DECAY)
    strategy = two_replicas()
    with strategy.scope():
        step = tf.Variable(110, dtype=tf.int64, aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA)
        variable = keras.Variable(1.0)
        optimizer = create_optimizer(config, create_learning_rate(config, 0.5, step))
        optimizer.build([variable])

        @tf.function
        def update() -> None:
            strategy.run(lambda: optimizer.apply([optimizer.scale_loss(tf.constant(1.0))], [variable]))
            step.assign_add(20)

        for expected in (1.0 - 0.5 * 0.8, 1.0 - 0.5 * 0.8 - 0.5 * 0.4):
            update()
            assert [float(copy) for copy in variable.value.values] == pytest.approx([expected] * 2, abs=1e-5)
