"""Features do not depend on batches and replicas; samples do not depend on anything but seed and place."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError
from sagan_tf.features.extraction import Batch, Extraction, with_progress
from sagan_tf.features.extractors import Extractor, ExtractorOptions, Outputs, open_extractor
from sagan_tf.generation.latents import LatentSampler
from sagan_tf.networks import build_generator
from tests.training.tiny import one_device, tiny_config, two_replicas

CONFIG = tiny_config().model
STRATEGIES = {"one_device": one_device, "two_replicas": two_replicas}


def extraction(batch_size: int, strategy: str = "one_device") -> Extraction:
    placement = STRATEGIES[strategy]()
    with placement.scope():
        return Extraction(open_extractor(ExtractorOptions("fashion_mnist")), placement, batch_size)


def generator(strategy: str = "one_device") -> keras.Model:
    with STRATEGIES[strategy]().scope():
        keras.utils.set_random_seed(1)
        return build_generator(CONFIG)


def joined(batches: list[Batch]) -> Batch:
    return Batch(*(np.concatenate(parts) for parts in zip(*batches, strict=True)))


def reference_images(count: int | None, batch_size: int, strategy: str = "one_device") -> Batch:
    source = open_source(
        DataConfig(dataset="fashion_mnist_10k", split="reference"), resolution=32, image_channels=1
    ).part(0, 40)
    return joined(list(extraction(batch_size, strategy).of_source(source, count)))


def samples(count: int, batch_size: int, strategy: str = "one_device", seed: int = 3) -> Batch:
    made = extraction(batch_size, strategy).of_generator(
        generator(strategy), CONFIG.latent_dim, CONFIG.num_classes, count, seed
    )
    return joined(list(made))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_all_agree_or_not(strategy: str) -> None:
    of_these = extraction(4, strategy)
    assert of_these.all_agree(True) and not of_these.all_agree(False)


def assert_same(one: Batch, other: Batch) -> None:
    np.testing.assert_array_equal(one.labels, other.labels)
    for ours, theirs in zip(one[:2], other[:2], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0.0, atol=1e-5 * np.abs(theirs).max())


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_features_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    assert_same(reference_images(None, batch_size), reference_images(None, 50))


@pytest.mark.parametrize("count", [None, 13])
def test_features_do_not_depend_on_the_number_of_replicas(count: int | None) -> None:
    ours = reference_images(count, 7, "two_replicas")
    assert len(ours.labels) == (count or 50)
    assert_same(ours, reference_images(count, 7))


def test_every_image_once_with_its_label() -> None:
    found = reference_images(None, 8)
    assert np.mean(found.logits.argmax(1) == found.labels) > 0.8
    assert len(np.unique(found.features, axis=0)) == 50


@pytest.mark.parametrize("batch_size", [3, 16])
def test_samples_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    assert_same(samples(12, batch_size), samples(12, 12))


def test_samples_do_not_depend_on_the_number_of_replicas() -> None:
    assert_same(samples(11, 4, "two_replicas"), samples(11, 4))


def test_a_sample_does_not_depend_on_how_many_there_are() -> None:
    few, many = samples(5, 5), samples(12, 5)
    assert_same(few, Batch(*(one[:5] for one in many)))


def test_samples_are_repeated_with_the_seed_and_only_then() -> None:
    assert_same(samples(8, 8), samples(8, 8))
    assert np.abs(samples(8, 8).features - samples(8, 8, seed=4).features).max() > 1e-3


class BrightnessOfLabel:
    """A generator whose images show their label."""

    output_shape = (None, 8, 8, 1)

    def __call__(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        latents, labels = inputs
        return tf.ones([latents.shape[0], 8, 8, 1]) * tf.cast(labels, tf.float32)[:, None, None, None] / 10.0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_labels_are_those_that_the_generator_was_given(strategy: str) -> None:
    """Also beyond the first 1,000, which are drawn at once."""
    extractor = Extractor("fake", "fake", None, None, (), lambda images: Outputs(images[:, 0, 0], images[:, 0, 0]))
    made = Extraction(extractor, STRATEGIES[strategy](), 300).of_generator(BrightnessOfLabel(), 2, 10, 1100, 3)
    found = joined(list(made))
    np.testing.assert_allclose(10.0 * found.features[:, 0], found.labels, atol=0.05)
    sampler = LatentSampler(3, 2, 10, 1000)  # published figures are of these draws
    drawn = [sampler.draw(tf.constant(2**40 + index, tf.int64))[1] for index in range(2)]
    np.testing.assert_array_equal(found.labels, np.concatenate(drawn)[:1100])


def test_a_sample_is_rounded_as_a_picture_is() -> None:
    """What the extractor is shown are the generator's bytes."""

    def network(images: tf.Tensor) -> Outputs:
        return Outputs(tf.reshape(images, [images.shape[0], -1]), tf.zeros([images.shape[0], 2]))

    fake = Extractor("fake", "fake", None, None, (), network)
    made = Extraction(fake, one_device(), 4).of_generator(generator(), CONFIG.latent_dim, CONFIG.num_classes, 4, 3)
    features = joined(list(made)).features
    steps = (features + 1.0) * 127.5
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
    assert to_uint8(tf.constant(features)).dtype == tf.uint8 and len(np.unique(np.round(steps))) > 10


def test_a_generator_is_traced_once_and_its_weights_are_read_anew() -> None:
    """As a run that trains is evaluated: the same network, other weights."""
    network, measured, traces = generator(), extraction(4), []
    measured.extractor = dataclasses.replace(
        measured.extractor, network=lambda images: (traces.append(1), measured_network(images))[1]
    )
    measured_network = extraction(4).extractor.network

    def features() -> np.ndarray:
        return joined(list(measured.of_generator(network, CONFIG.latent_dim, CONFIG.num_classes, 4, 3))).features

    before = features()
    for variable in network.trainable_variables:
        variable.assign(variable + 0.1)
    assert np.abs(features() - before).max() > 1e-3 and len(traces) == 1
    other = generator()
    made = joined(list(measured.of_generator(other, CONFIG.latent_dim, CONFIG.num_classes, 4, 3))).features
    np.testing.assert_allclose(made, before, rtol=0.0, atol=1e-5 * np.abs(before).max())


def test_moving_statistics_are_left_alone() -> None:
    network = generator()
    before = [one.numpy() for one in network.variables]
    list(extraction(4).of_generator(network, CONFIG.latent_dim, CONFIG.num_classes, 4, 3))
    for ours, theirs in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


@pytest.mark.parametrize(
    ("asked", "replicas", "expected"), [(7, "two_replicas", 8), (8, "two_replicas", 8), (7, "one_device", 7)]
)
def test_the_batch_is_a_multiple_of_the_replicas(asked: int, replicas: str, expected: int) -> None:
    assert extraction(asked, replicas).batch_size == expected


def test_channels_that_the_extractor_does_not_take() -> None:
    network = build_generator(dataclasses.replace(CONFIG, image_channels=3))
    with pytest.raises(UserError, match=r"^extractor: expected images of 1 channels for fashion_mnist, received 3$"):
        list(extraction(4).of_generator(network, CONFIG.latent_dim, CONFIG.num_classes, 4, 3))


def test_progress_hands_on_every_batch() -> None:
    batches = [Batch(np.zeros((n, 2)), np.zeros((n, 2)), np.zeros(n)) for n in (3, 2)]
    assert [len(one.labels) for one in with_progress(batches, 5, "images")] == [3, 2]
