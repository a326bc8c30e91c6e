"""Extraction: features do not depend on batches and replicas, and generated images only on seed and index."""

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
from sagan_tf.features.extraction import Extraction, FeatureBatch, show_progress
from sagan_tf.features.extractor import Extractor, ExtractorOutputs
from sagan_tf.features.extractors import ExtractorOptions, open_extractor
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


def join(batches: list[FeatureBatch]) -> FeatureBatch:
    return FeatureBatch(*(np.concatenate(parts) for parts in zip(*batches, strict=True)))


def reference_images(count: int | None, batch_size: int, strategy: str = "one_device") -> FeatureBatch:
    source = open_source(
        DataConfig(dataset="fashion_mnist_10k", split="reference"), resolution=32, image_channels=1
    ).part(0, 40)
    return join(list(extraction(batch_size, strategy).extract_from_source(source, count)))


def samples(count: int, batch_size: int, strategy: str = "one_device", seed: int = 3) -> FeatureBatch:
    return extract(extraction(batch_size, strategy), generator(strategy), count, seed)


def extract(extraction: Extraction, generator: keras.Model, count: int = 4, seed: int = 3) -> FeatureBatch:
    batches = extraction.extract_from_generator(generator, CONFIG.latent_dim, CONFIG.num_classes, count, seed)
    return join(list(batches))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_single_worker_decides_alone(strategy: str) -> None:
    tested = extraction(4, strategy)
    assert tested.is_true_on_all_workers(True) and not tested.is_true_on_all_workers(False)


def assert_same(batch: FeatureBatch, expected: FeatureBatch) -> None:
    np.testing.assert_array_equal(batch.labels, expected.labels)
    for array, expected_array in zip(batch[:2], expected[:2], strict=True):
        np.testing.assert_allclose(array, expected_array, rtol=0.0, atol=1e-5 * np.abs(expected_array).max())


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_features_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    assert_same(reference_images(None, batch_size), reference_images(None, 50))


@pytest.mark.parametrize("count", [None, 13])
def test_features_do_not_depend_on_the_number_of_replicas(count: int | None) -> None:
    batch = reference_images(count, 7, "two_replicas")
    assert len(batch.labels) == (count or 50)
    assert_same(batch, reference_images(count, 7))


def test_every_image_is_used_once_with_its_label() -> None:
    batch = reference_images(None, 8)
    assert np.mean(batch.logits.argmax(1) == batch.labels) > 0.8
    assert len(np.unique(batch.features, axis=0)) == 50


@pytest.mark.parametrize("batch_size", [3, 16])
def test_generated_images_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    assert_same(samples(12, batch_size), samples(12, 12))


def test_generated_images_do_not_depend_on_the_number_of_replicas() -> None:
    assert_same(samples(11, 4, "two_replicas"), samples(11, 4))


def test_a_generated_image_does_not_depend_on_their_number() -> None:
    few, many = samples(5, 5), samples(12, 5)
    assert_same(few, FeatureBatch(*(array[:5] for array in many)))


def test_generated_images_are_repeated_with_the_same_seed_only() -> None:
    assert_same(samples(8, 8), samples(8, 8))
    assert np.abs(samples(8, 8).features - samples(8, 8, seed=4).features).max() > 1e-3


class BrightnessOfLabel:
    """A generator of images with the brightness of their label."""

    output_shape = (None, 8, 8, 1)

    def __call__(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        latents, labels = inputs
        return tf.ones([latents.shape[0], 8, 8, 1]) * tf.cast(labels, tf.float32)[:, None, None, None] / 10.0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_labels_are_those_that_the_generator_was_called_with(strategy: str) -> None:
    """Also beyond the first 1,000 labels, which are a single draw."""

    def network(images: tf.Tensor) -> ExtractorOutputs:
        return ExtractorOutputs(images[:, 0, 0], images[:, 0, 0])

    tested = Extraction(Extractor("fake", "fake", None, None, (), network), STRATEGIES[strategy](), 300)
    found = join(list(tested.extract_from_generator(BrightnessOfLabel(), 2, 10, 1100, 3)))
    np.testing.assert_allclose(10.0 * found.features[:, 0], found.labels, atol=0.05)
    sampler = LatentSampler(3, 2, 10, 1000)  # published figures use these draws
    drawn = [sampler.draw(tf.constant(2**40 + index, tf.int64))[1] for index in range(2)]
    np.testing.assert_array_equal(found.labels, np.concatenate(drawn)[:1100])


def test_generated_images_are_rounded_like_saved_images() -> None:
    """The extractor gets images of 8 bits."""

    def network(images: tf.Tensor) -> ExtractorOutputs:
        return ExtractorOutputs(tf.reshape(images, [images.shape[0], -1]), tf.zeros([images.shape[0], 2]))

    fake = Extractor("fake", "fake", None, None, (), network)
    features = extract(Extraction(fake, one_device(), 4), generator()).features
    steps = (features + 1.0) * 127.5
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
    assert to_uint8(tf.constant(features)).dtype == tf.uint8 and len(np.unique(np.round(steps))) > 10


def test_a_generator_is_traced_once_and_its_weights_are_read_again() -> None:
    """A run is evaluated repeatedly during training: the same network with other weights."""
    network, tested, traces = generator(), extraction(4), []
    extractor = tested.extractor

    def count_traces(images: tf.Tensor) -> ExtractorOutputs:
        traces.append(1)
        return extractor.network(images)

    tested.extractor = dataclasses.replace(extractor, network=count_traces)
    before = extract(tested, network).features
    for variable in network.trainable_variables:
        variable.assign(variable + 0.1)
    assert np.abs(extract(tested, network).features - before).max() > 1e-3 and len(traces) == 1
    features = extract(tested, generator()).features
    np.testing.assert_allclose(features, before, rtol=0.0, atol=1e-5 * np.abs(before).max())


def test_variables_of_the_generator_do_not_change() -> None:
    network = generator()
    before = [variable.numpy() for variable in network.variables]
    extract(extraction(4), network)
    for variable, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)


@pytest.mark.parametrize(
    ("batch_size", "strategy", "expected"), [(7, "two_replicas", 8), (8, "two_replicas", 8), (7, "one_device", 7)]
)
def test_the_batch_size_is_a_multiple_of_the_replicas(batch_size: int, strategy: str, expected: int) -> None:
    assert extraction(batch_size, strategy).batch_size == expected


def test_generators_with_other_channels_are_rejected() -> None:
    network = build_generator(dataclasses.replace(CONFIG, image_channels=3))
    with pytest.raises(UserError, match="^extractor: .*fashion_mnist, received 3$"):
        extract(extraction(4), network)


def test_progress_yields_every_batch() -> None:
    batches = [FeatureBatch(np.zeros((n, 2)), np.zeros((n, 2)), np.zeros(n)) for n in (3, 2)]
    assert [len(batch.labels) for batch in show_progress(batches, 5, "images")] == [3, 2]
