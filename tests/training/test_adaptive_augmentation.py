"""Tests of the adaptive probability against its rule in Python."""

import types
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import TrainingConfig
from sagan_tf.training.adaptive_augmentation import AdaptiveProbability
from tests.training.tiny import run_in_replica


def compute_probabilities(signs: np.ndarray, **options: Any) -> list[float]:
    adaptive = AdaptiveProbability(TrainingConfig(augment=("flip",), **options))
    probabilities = []
    for sign in signs.astype(np.float32):
        run_in_replica(adaptive.after_update, {"real_logit_signs": tf.constant(sign)})
        probabilities.append(float(adaptive.probability.numpy()))
    return probabilities


def test_the_signs_are_those_of_the_real_logits():
    adaptive = AdaptiveProbability(TrainingConfig(augment=("flip",), ada_target=0.6))
    batch = types.SimpleNamespace(real_logits=tf.constant([[5.0], [2.0], [-0.1], [0.3]]), fake_logits=-tf.ones([4, 1]))
    loss, metrics = adaptive(batch)
    assert float(loss) == 0.0 and float(metrics["real_logit_signs"]) == 0.5


@pytest.mark.parametrize("updates_per_step", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_probability_follows_the_rule_of_the_paper(updates_per_step):
    signs = np.concatenate([np.linspace(1, -1, 24), np.full(32, 0.9), np.random.default_rng(0).uniform(0, 1, 16)])
    schedule = {"discriminator_steps_per_step": updates_per_step, "global_batch_size": 50}
    received = compute_probabilities(signs, ada_target=0.6, ada_speed_images=1000, **schedule)
    interval, probability, expected = 4 * updates_per_step, 0.0, []
    for update in range(1, len(signs) + 1):
        if update % interval == 0:
            direction = np.sign(np.mean(signs[update - interval : update]) - 0.6)
            probability = min(max(probability + direction * interval * 50 / 1000, 0.0), 1.0)
        expected.append(probability)
    np.testing.assert_allclose(received, expected, atol=1e-6)
    assert {0.0, 1.0} <= set(received)
