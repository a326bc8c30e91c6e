"""Consistency and diversity under changes of latents, with a linear discriminator and generator."""

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.regularization.latent_consistency import LatentConsistency, LatentDiversity
from tests.regularization.batches import LATENT_DIM, SIZE, discriminate, discriminator_batch, generator_batch


def test_consistency_and_diversity():
    weight, noise = 3.0, 0.5
    seen: list[tf.Tensor] = []

    def generate(latents: tf.Tensor) -> tf.Tensor:
        seen.append(latents)
        return tf.tile(tf.reduce_sum(latents, 1)[:, None, None, None], [1, 16, 16, 1])

    fakes = generate(tf.ones([SIZE, LATENT_DIM]))
    logits = discriminate(fakes)
    batch = discriminator_batch(
        fake_images=fakes, fake_logits=logits, generate=generate, compute_fake_logits=discriminate
    )
    term, _ = LatentConsistency(weight, noise)(batch)
    changed = seen[-1].numpy() - 1.0
    assert 0.2 < changed.std() < 1.0
    expected = ((discriminate(generate(1.0 + changed)) - logits).numpy() ** 2).mean()
    assert float(term) == pytest.approx(weight * expected, rel=1e-5)
    term, metrics = LatentDiversity(weight, noise)(generator_batch(images=fakes, generate=generate))
    np.testing.assert_array_equal(seen[-1].numpy() - 1.0, changed)
    expected = (changed.sum(1) ** 2).mean()
    assert float(term) == pytest.approx(-weight * expected, rel=1e-4)
    assert float(metrics["latent_diversity"]) == pytest.approx(expected, rel=1e-4)
