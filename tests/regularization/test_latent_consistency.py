"""Consistency and diversity under changes of latents, with discriminators and generators of one line."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.regularization.latent_consistency import LatentConsistency, LatentDiversity
from tests.regularization.batches import LATENT_DIM, SIZE, corner, discriminator_batch, generator_batch


def test_latents():
    weight, noise = 3.0, 0.5
    noted: list[tf.Tensor] = []

    def generate(latents: tf.Tensor) -> tf.Tensor:
        noted.append(latents)
        return tf.tile(tf.reduce_sum(latents, 1)[:, None, None, None], [1, 16, 16, 1])

    fakes = generate(tf.ones([SIZE, LATENT_DIM]))
    logits = corner(fakes)
    batch = discriminator_batch(fake_images=fakes, fake_logits=logits, generate=generate, judge_fake=corner)
    term, _ = LatentConsistency(weight, noise)(batch)
    changed = noted[-1].numpy() - 1.0
    assert 0.2 < changed.std() < 1.0
    expected = ((corner(generate(1.0 + changed)) - logits).numpy() ** 2).mean()
    assert float(term) == pytest.approx(weight * expected, rel=1e-5)
    term, metrics = LatentDiversity(weight, noise)(generator_batch(images=fakes, generate=generate))
    np.testing.assert_array_equal(noted[-1].numpy() - 1.0, changed)
    expected = (changed.sum(1) ** 2).mean()
    assert float(term) == pytest.approx(-weight * expected, rel=1e-4)
    assert float(metrics["latent_diversity"]) == pytest.approx(expected, rel=1e-4)
