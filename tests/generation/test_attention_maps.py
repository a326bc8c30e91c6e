"""Tests of reading attention maps, against the formula in NumPy with the layers' weights."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.generation import attention_maps
from sagan_tf.generation.attention_maps import AttentionReader, compute_image_attention, make_query_grid
from sagan_tf.layers import SelfAttention2D
from sagan_tf.networks import build_discriminator, build_generator
from tests.networks.small_networks import images, labels, latents, names_of, small_config, stir

Network = tuple[keras.Model, list[tf.Tensor]]


def make_network(build: Callable[..., keras.Model] = build_generator, **options: Any) -> Network:
    """Return a network with random weights, and its inputs."""
    config = small_config(base_channels=8, **options)
    keras.utils.set_random_seed(0)
    network = build(config)
    stir(network)
    first = latents(config=config) if build is build_generator else images(config=config)
    return network, [tf.constant(first), tf.constant(labels())]


def normalized_kernel(convolution: keras.layers.Layer) -> np.ndarray:
    """Return the kernel [input channels, output channels] divided by the layer's sigma."""
    kernel = convolution.trainable_variables[0].numpy()[0, 0].astype(np.float64)
    return kernel / float(convolution.sigma()) if hasattr(convolution, "sigma") else kernel


def expected_maps(layer: SelfAttention2D, features: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Return attention maps [batch, n, key_height, key_width] in float64."""
    batch, height, width, _ = features.shape
    query, key = (features.astype(np.float64) @ normalized_kernel(part) for part in (layer.query, layer.key))
    if layer.form == "pooled":
        key = key.reshape(batch, height // 2, 2, width // 2, 2, -1).max(axis=(2, 4))
    logits = np.einsum("bnc,bhwc->bnhw", query[:, queries[:, 0], queries[:, 1]], key)
    powers = np.exp(logits - logits.max(axis=(2, 3), keepdims=True))
    return powers / powers.sum(axis=(2, 3), keepdims=True)


@pytest.mark.parametrize("build", [build_generator, build_discriminator])
@pytest.mark.parametrize(("form", "spectral_norm"), [("pooled", True), ("paper", False), ("full", True)])
def test_maps_match_the_formula(build: Callable[..., keras.Model], form: str, spectral_norm: bool) -> None:
    options = {"generator_spectral_norm": spectral_norm, "discriminator_spectral_norm": spectral_norm}
    network, inputs = make_network(build, attention_form=form, **options)
    (name,) = names_of(network, SelfAttention2D)
    layer = network.get_layer(name)
    if not spectral_norm:  # large kernels give logits in the hundreds, with five exact digits in float32
        layer.query.kernel.assign(0.1 * layer.query.kernel)
    reader = AttentionReader(network)
    assert reader.sizes == {name: (16, 16)}
    features = reader.compute_features(inputs)[name]
    expected_features = keras.Model(network.inputs, layer.input)(inputs, training=False)
    np.testing.assert_allclose(features, expected_features, atol=1e-5)
    queries = np.array([[0, 0], [15, 15], [3, 12], [12, 3]], np.int32)
    maps = reader.compute_maps(name, features, queries)
    assert maps.shape == (3, 4, *((8, 8) if form == "pooled" else (16, 16))) and maps.dtype == np.float32
    np.testing.assert_allclose(maps, expected_maps(layer, features.numpy(), queries), atol=1e-5)
    np.testing.assert_allclose(maps.sum(axis=(2, 3)), 1.0, rtol=1e-5)
    assert np.ptp(maps) > 1e-3  # constant maps would hide errors


def test_splitting_queries_into_several_calls_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    network, inputs = make_network()
    reader = AttentionReader(network)
    (name,) = reader.sizes
    features = reader.compute_features(inputs)[name]
    queries = make_query_grid((16, 16))
    whole = reader.compute_maps(name, features, queries)
    monkeypatch.setattr(attention_maps, "_MAX_QUERIES_PER_CALL", 100)
    np.testing.assert_allclose(reader.compute_maps(name, features, queries), whole, atol=1e-6)


def test_each_image_has_its_own_maps_of_every_layer() -> None:
    network, inputs = make_network(attention_resolutions=(8, 16))
    before = network.get_weights()
    shown = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), np.uint8)
    attention = compute_image_attention(AttentionReader(network), inputs, shown, ["a", "b", "c"], 5)
    assert [element.name for element in attention] == ["a", "b", "c"]
    reader = AttentionReader(network)
    features = reader.compute_features(inputs)
    assert sorted(reader.sizes.values()) == [(8, 8), (16, 16)]
    for index, element in enumerate(attention):
        np.testing.assert_array_equal(element.image, shown[index])
        assert {layer.name: layer.size for layer in element.layers} == reader.sizes
        for layer in element.layers:
            np.testing.assert_array_equal(layer.queries, make_query_grid(layer.size, 5))
            expected = expected_maps(network.get_layer(layer.name), features[layer.name].numpy(), layer.queries)
            np.testing.assert_allclose(layer.maps, expected[index], atol=1e-5)
    assert all(np.array_equal(*pair) for pair in zip(network.get_weights(), before, strict=True))


def test_networks_without_attention() -> None:
    network, inputs = make_network(attention_resolutions=())
    reader = AttentionReader(network)
    assert reader.sizes == {} and reader.compute_features(inputs) == {}
    assert compute_image_attention(AttentionReader(network), inputs, images(), ["a", "b", "c"])[0].layers == ()


def test_query_grid() -> None:
    assert make_query_grid((2, 3)).tolist() == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
    assert make_query_grid((64, 3), 2).tolist() == [[0, 0], [0, 2], [63, 0], [63, 2]]
    assert make_query_grid((4, 4), 100).tolist() == make_query_grid((4, 4)).tolist()
    many = make_query_grid((64, 128), 32)
    assert many.shape == (1024, 2) and many.dtype == np.int32
    for axis, side in ((0, 64), (1, 128)):
        steps = np.diff(np.unique(many[:, axis]))
        assert many[:, axis].min() == 0 and many[:, axis].max() == side - 1 and np.ptp(steps) <= 1
