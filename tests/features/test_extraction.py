"""Extraction: features do not depend on batches and replicas, and generated images only on seed and index."""

import dataclasses
import functools
from collections.abc import Iterable

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import DataConfig
from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.data.sources.registry import open_source
from sagan_tf.errors import UserError
from sagan_tf.features.extraction import Extraction, FeatureBatch
from sagan_tf.features.extractor import Extractor, ExtractorOutputs
from sagan_tf.features.extractors import ExtractorOptions, open_extractor
from sagan_tf.generation.latents import LatentSampler
from sagan_tf.networks import build_generator
from tests.training.tiny import one_device, tiny_config, two_replicas

CONFIG = tiny_config().model
STRATEGIES = {"one_device": one_device, "two_replicas": two_replicas}


@functools.cache
def extraction(batch_size: int, strategy: str = "one_device") -> Extraction:
    placement = STRATEGIES[strategy]()
    with placement.scope():
        return Extraction(open_extractor(ExtractorOptions("fashion_mnist")), placement, batch_size)


def make_generator(strategy: str = "one_device") -> keras.Model:
    with STRATEGIES[strategy]().scope():
        keras.utils.set_random_seed(1)
        return build_generator(CONFIG)


generator = functools.cache(make_generator)


@pytest.fixture(autouse=True, scope="module")
def _free_networks():
    yield
    extraction.cache_clear()
    generator.cache_clear()


def join(batches: Iterable[FeatureBatch]) -> FeatureBatch:
    return FeatureBatch(*(np.concatenate(parts) for parts in zip(*batches, strict=True)))


def reference_images(count: int | None, batch_size: int, strategy: str = "one_device") -> FeatureBatch:
    data = DataConfig(dataset="fashion_mnist_10k", split="reference")
    source = open_source(data, resolution=32, image_channels=1).part(0, 40)
    return join(extraction(batch_size, strategy).extract_from_source(source, count))


def samples(count: int, batch_size: int, strategy: str = "one_device", seed: int = 3) -> FeatureBatch:
    return extract(extraction(batch_size, strategy), generator(strategy), count, seed)


def extract(extraction: Extraction, generator: keras.Model, count: int = 4, seed: int = 3) -> FeatureBatch:
    return join(extraction.extract_from_generator(generator, CONFIG.latent_dim, CONFIG.num_classes, count, seed))


def assert_same(batch: FeatureBatch, expected: FeatureBatch) -> None:
    np.testing.assert_array_equal(batch.labels, expected.labels)
    for array, expected_array in zip(batch[:2], expected[:2], strict=True):
        np.testing.assert_allclose(array, expected_array, rtol=0.0, atol=1e-5 * np.abs(expected_array).max())


def test_every_image_is_used_once_with_its_label():
    batch = reference_images(None, 7)
    assert np.mean(batch.logits.argmax(1) == batch.labels) > 0.8
    assert len(np.unique(batch.features, axis=0)) == 50


@pytest.mark.parametrize(
    ("count", "batch_size", "strategy"),
    [(None, 1, "one_device"), (None, 64, "one_device"), (None, 7, "two_replicas"), (13, 7, "two_replicas")],
)
def test_features_do_not_depend_on_batch_size_and_replicas(count, batch_size, strategy):
    batch = reference_images(count, batch_size, strategy)
    assert len(batch.labels) == (count or 50)
    assert_same(batch, reference_images(count, 7))


@pytest.mark.parametrize(
    ("count", "batch_size", "strategy"),
    [
        (12, 4, "one_device"),
        pytest.param(12, 12, "one_device", marks=pytest.mark.slow),
        (5, 7, "one_device"),
        (11, 4, "two_replicas"),
    ],
)
def test_a_generated_image_does_not_depend_on_number_batch_size_and_replicas(count, batch_size, strategy):
    expected = samples(12, 7)
    assert_same(samples(count, batch_size, strategy), FeatureBatch(*(array[:count] for array in expected)))


def test_generated_images_are_repeated_with_the_same_seed_only():
    assert_same(samples(8, 7), samples(8, 7))
    assert np.abs(samples(8, 7).features - samples(8, 7, seed=4).features).max() > 1e-3


class BrightnessOfLabel:
    """A generator of images with the brightness of their label."""

    output_shape = (None, 8, 8, 1)

    def __call__(self, inputs: list[tf.Tensor], training: bool) -> tf.Tensor:
        latents, labels = inputs
        return tf.ones([latents.shape[0], 8, 8, 1]) * tf.cast(labels, tf.float32)[:, None, None, None] / 10.0


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_labels_are_those_that_the_generator_was_called_with(strategy):
    """Also beyond the first 1,000 labels, which are a single draw."""

    def network(images: tf.Tensor) -> ExtractorOutputs:
        return ExtractorOutputs(images[:, 0, 0], images[:, 0, 0])

    tested = Extraction(Extractor("fake", "fake", None, None, (), network), STRATEGIES[strategy](), 300)
    found = join(list(tested.extract_from_generator(BrightnessOfLabel(), 2, 10, 1100, 3)))
    np.testing.assert_allclose(10.0 * found.features[:, 0], found.labels, atol=0.05)
    sampler = LatentSampler(3, 2, 10, 1000)  # published figures use these draws
    drawn = [sampler.draw(tf.constant(2**40 + index, tf.int64))[1] for index in range(2)]
    np.testing.assert_array_equal(found.labels, np.concatenate(drawn)[:1100])


def test_generated_images_are_rounded_like_saved_images():
    """The extractor gets images of 8 bits."""

    def network(images: tf.Tensor) -> ExtractorOutputs:
        return ExtractorOutputs(tf.reshape(images, [images.shape[0], -1]), tf.zeros([images.shape[0], 2]))

    fake = Extractor("fake", "fake", None, None, (), network)
    features = extract(Extraction(fake, one_device(), 4), generator()).features
    steps = (features + 1.0) * 127.5
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-4)
    assert to_uint8(tf.constant(features)).dtype == tf.uint8 and len(np.unique(np.round(steps))) > 10


def test_a_generator_is_traced_once_and_its_weights_are_read_again():
    """A run is evaluated repeatedly during training: the same network with other weights."""
    network, traces, extractor = make_generator(), [], extraction(4).extractor

    def count_traces(images: tf.Tensor) -> ExtractorOutputs:
        traces.append(1)
        return extractor.network(images)

    tested = Extraction(dataclasses.replace(extractor, network=count_traces), one_device(), 4)
    before = extract(tested, network).features
    for variable in network.trainable_variables:
        variable.assign(variable + 0.1)
    assert np.abs(extract(tested, network).features - before).max() > 1e-3 and len(traces) == 1
    features = extract(tested, make_generator()).features
    np.testing.assert_allclose(features, before, rtol=0.0, atol=1e-5 * np.abs(before).max())


def test_the_batch_size_is_a_multiple_of_the_replicas():
    assert [extraction(size, "two_replicas").batch_size for size in (4, 7)] == [4, 8]
    assert extraction(7).batch_size == 7


def test_generators_with_other_channels_are_rejected():
    network = build_generator(dataclasses.replace(CONFIG, image_channels=3))
    with pytest.raises(UserError, match="^extractor: .*fashion_mnist, received 3$"):
        extract(extraction(4), network)
