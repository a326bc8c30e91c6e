"""Tests of drawing latents and labels."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from sagan_tf.features import extraction
from sagan_tf.features.extractor import Extractor, ExtractorOutputs
from sagan_tf.generation.latents import (
    LatentSampler,
    draw_latents_from_seeds,
    make_fixed_inputs,
    select_evenly_spaced_classes,
)
from sagan_tf.training.trainer import Trainer
from sagan_tf.training.updates import create_updates
from tests.training.tiny import PLAINEST_NETWORKS, make_iterator, make_state, one_device, tiny_config


def draw(sampler: LatentSampler, number: int) -> tuple[np.ndarray, np.ndarray]:
    latents, labels = sampler.draw(tf.constant(number, tf.int64))
    return latents.numpy(), labels.numpy()


def test_draws_are_a_function_of_seed_and_number():
    def sample(number: int = 3, **options: Any) -> tuple[np.ndarray, np.ndarray]:
        sampler = LatentSampler(seed=1, latent_dim=4, num_classes=10, global_batch_size=6)
        return draw(dataclasses.replace(sampler, **options), number)

    for first, second in zip(sample(), sample(), strict=True):
        np.testing.assert_array_equal(first, second)
    for changed in (sample(4), sample(seed=2)):
        assert not np.isclose(sample()[0], changed[0]).any()
    assert (sample(num_classes=0)[1] == 0).all()


class RecordingSampler(LatentSampler):
    """Latent sampler that records all latents it draws."""

    recorded: list[np.ndarray] = []

    def draw(self, number: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        latents, labels = super().draw(number)
        tf.numpy_function(self.recorded.append, [latents], [])
        return latents, labels


def test_no_latents_are_drawn_twice(monkeypatch: pytest.MonkeyPatch):
    """Updates, updates after rollbacks, evaluations and single images all have different latents."""
    recorded: list[np.ndarray] = []
    config, strategy = tiny_config(**PLAINEST_NETWORKS), one_device()
    monkeypatch.setattr(RecordingSampler, "recorded", recorded)
    updates = create_updates(config, make_state(config, strategy))
    updates = dataclasses.replace(updates, sampler=RecordingSampler(**dataclasses.asdict(updates.sampler)))
    trainer = Trainer(updates, strategy, make_iterator(config, strategy), config.training)
    for rollbacks in range(3):
        trainer.state.step.assign(0)
        trainer.state.rollbacks.assign(rollbacks)
        trainer.train(3)
    assert len(recorded) == 3 * 3 * 2
    monkeypatch.setattr(extraction, "LatentSampler", RecordingSampler)
    features = Extractor(
        "fake", "fake", None, None, (), lambda images: ExtractorOutputs(images[:, 0, 0], images[:, 0, 0])
    )
    evaluated = extraction.Extraction(features, strategy, 500)
    list(
        evaluated.extract_from_generator(
            trainer.state.generator, config.model.latent_dim, 3, 1500, config.training.seed
        )
    )
    assert len(recorded) == 3 * 3 * 2 + 2
    found = np.concatenate([*recorded, draw_latents_from_seeds(np.arange(100), config.model.latent_dim)])
    assert len(np.unique(found, axis=0)) == len(found)


def test_labels_and_latents_share_no_random_numbers():
    # With this many classes, a label shows the random bits that it was computed from. If a latent came from the same
    # bits, its magnitude would correlate with the label.
    sampler = LatentSampler(seed=0, latent_dim=1, num_classes=2**23, global_batch_size=2000)
    latents, labels = draw(sampler, 0)
    squares = (latents.reshape(-1, 2) ** 2).sum(1)
    for offset in (0, 1):
        assert abs(scipy.stats.spearmanr(squares, labels[offset::2]).statistic) < 0.15


def test_latents_are_standard_normal_and_labels_uniform():
    sampler = LatentSampler(seed=0, latent_dim=64, num_classes=4, global_batch_size=4000)
    latents, labels = draw(sampler, 0)
    # Standard errors: 1 / sqrt(256,000) = 0.002 and sqrt(1000 * 3 / 4) = 27.
    assert abs(latents.mean()) < 0.01 and abs(latents.std() - 1) < 0.01
    counts = np.bincount(labels, minlength=4)
    assert counts.shape == (4,) and abs(counts - 1000).max() < 140
    assert labels.dtype == np.int32 and latents.dtype == np.float32


def test_fixed_inputs_have_one_class_per_row_and_the_same_latents_in_each():
    latents, labels = make_fixed_inputs(5, 3, 4, seed=0)
    assert labels.numpy().tolist() == [0] * 4 + [1] * 4 + [2] * 4
    np.testing.assert_array_equal(latents[:4], latents[4:8])
    assert len(np.unique(latents[:4].numpy(), axis=0)) == 4
    assert make_fixed_inputs(5, 1000, 2, seed=0)[1].numpy()[::2].tolist() == list(range(0, 1000, 100))
    latents, labels = make_fixed_inputs(5, 0, 3, seed=0)
    assert labels.numpy().tolist() == [0] * 9 and len(np.unique(latents.numpy(), axis=0)) == 9


def test_latents_of_a_seed_do_not_depend_on_the_batch():
    seeds = np.array([3, 2**62 - 1, 0, 2**62 + 5, 3])
    together = draw_latents_from_seeds(seeds, 6).numpy()
    assert together.dtype == np.float32 and together.shape == (5, 6)
    for seed, latent in zip(seeds, together, strict=True):
        np.testing.assert_array_equal(draw_latents_from_seeds(np.array([seed]), 6)[0], latent)
    compiled = tf.function(lambda seeds: draw_latents_from_seeds(seeds, 6), autograph=False)
    np.testing.assert_array_equal(compiled(tf.constant(seeds)), together)
    assert len(np.unique(together[:4])) == 24


def test_latents_of_seeds_are_standard_normal():
    latents = draw_latents_from_seeds(np.arange(2000), 64).numpy()
    assert abs(latents.mean()) < 0.01 and abs(latents.std() - 1) < 0.01
    assert abs(np.mean(latents[:-1] * latents[1:])) < 0.01  # latents of neighboring seeds are independent


@pytest.mark.parametrize("truncation", [1e-3, 0.25, 0.5, 1.0, 2.0, 4.0, 7.9])
def test_truncated_latents_have_the_same_quantiles(truncation):
    seeds = np.arange(300)
    untruncated = draw_latents_from_seeds(seeds, 32).numpy().astype(np.float64)
    found = draw_latents_from_seeds(seeds, 32, truncation).numpy()
    cut = scipy.stats.norm.cdf(-truncation)
    quantiles = cut + scipy.stats.norm.cdf(-np.abs(untruncated)) * (1.0 - 2.0 * cut)
    expected = -np.sign(untruncated) * scipy.stats.norm.ppf(quantiles)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found).max() <= np.float32(truncation) and np.abs(untruncated).max() > 3.5
    assert scipy.stats.kstest(found.ravel(), scipy.stats.truncnorm(-truncation, truncation).cdf).pvalue > 1e-3


def test_smallest_and_largest_truncations():
    seeds = np.arange(50)
    untruncated = draw_latents_from_seeds(seeds, 32).numpy()
    assert np.all(draw_latents_from_seeds(seeds, 32, 0.0).numpy() == 0.0)
    for truncation in (8.0, 100.0, math.inf):
        np.testing.assert_array_equal(draw_latents_from_seeds(seeds, 32, truncation), untruncated)


def test_a_truncation_for_each_row():
    seeds, truncation = np.array([4, 4, 4, 9, 4]), np.array([math.inf, 0.5, 0.0, 0.5, 8.0])
    found = draw_latents_from_seeds(seeds, 16, truncation).numpy()
    for row in range(5):
        alone = draw_latents_from_seeds(seeds[row : row + 1], 16, float(truncation[row]))
        np.testing.assert_array_equal(found[row], alone[0])
    np.testing.assert_array_equal(found[0], found[4])


def test_selected_classes_are_evenly_spaced():
    assert select_evenly_spaced_classes(3, 10) == [0, 1, 2]
    assert select_evenly_spaced_classes(10, 10) == list(range(10))
    assert select_evenly_spaced_classes(1000, 4) == [0, 250, 500, 750]
    assert select_evenly_spaced_classes(7, 3) == [0, 2, 4]
