"""Whole networks whose convolutions take their fastest forms, against plain ones with the same weights."""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.config import ModelConfig
from sagan_tf.layers import accelerators
from sagan_tf.layers.convolutions.resampling import FORMS
from sagan_tf.networks import build_discriminator, build_generator
from tests.networks.small_networks import images, labels, latents, stir

TOLERANCE = 1e-4
# At this width every form is the fastest for some layer of either network.
WIDE = {
    "resolution": 64,
    "base_channels": 48,
    "num_classes": 3,
    "latent_dim": 6,
    "attention_resolutions": (16,),
    "attention_form": "paper",
}
NETWORKS = {"generator": build_generator, "discriminator": build_discriminator}
BATCH = 2

every_network = pytest.mark.parametrize("name", NETWORKS)


def inputs_of(name: str, config: ModelConfig) -> list[np.ndarray]:
    first = latents(BATCH, config) if name == "generator" else images(BATCH, config)
    return [first, labels(BATCH)]


def outputs_and_gradients(network: keras.Model, inputs: list[np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """In training: the outputs; the gradients of the first input and of every weight, by path."""

    @tf.function(autograph=False)
    def pass_through(first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        sources = [first, *(variable.value for variable in network.trainable_variables)]
        with tf.GradientTape() as tape:
            tape.watch(first)
            outputs = network([first, second], training=True)
        upstream = tf.sin(tf.reshape(tf.range(tf.size(outputs), dtype=tf.float32), tf.shape(outputs)))
        return outputs, [tf.convert_to_tensor(one) for one in tape.gradient(outputs, sources, upstream)]

    outputs, gradients = pass_through(*map(tf.constant, inputs))
    paths = ["inputs/first", *(variable.path for variable in network.trainable_variables)]
    return outputs.numpy(), {path: one.numpy() for path, one in zip(paths, gradients, strict=True)}


def assert_equal_by_layers(ours: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Differences are within `TOLERANCE` of the largest entry in the same layer.

    Not of the array itself: the gradient of a bias before batch normalisation is 0, with rounding errors.
    """
    largest: dict[str, float] = {}
    for path, value in expected.items():
        layer = path.rsplit("/", 1)[0]
        largest[layer] = max(largest.get(layer, 0.0), float(np.abs(value).max()))
    assert ours.keys() == expected.keys()
    differences = {path: np.abs(ours[path] - expected[path]).max() / largest[path.rsplit("/", 1)[0]] for path in ours}
    assert not {path: difference for path, difference in differences.items() if not difference <= TOLERANCE}


@every_network
def test_fastest_forms_give_what_plain_ones_give(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Where a ReLU's input is near 0, and where max-pooling has a tie, rounding decides where the gradient goes: rounded
    # latents alone then change gradients by several hundredths. So ReLU is made smooth, and attention doesn't pool.
    monkeypatch.setattr(tf.nn, "relu", tf.nn.softplus)
    monkeypatch.setattr(accelerators, "has_accelerator", lambda: False)
    used: set[tuple[str, str]] = set()

    def recorded(resampling: str, form: str, function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
        return lambda x, kernel: (used.add((resampling, form)), function(x, kernel))[1]

    for resampling, forms in FORMS.items():
        for form, function in forms.items():
            monkeypatch.setitem(forms, form, recorded(resampling, form, function))

    results, networks = {}, {}
    for resampling in ("auto", "plain"):
        config = ModelConfig(resampling=resampling, **WIDE)
        keras.utils.set_random_seed(1)  # stirring adds to what is there
        networks[resampling] = NETWORKS[name](config)
        stir(networks[resampling])
        used.clear()
        results[resampling] = outputs_and_gradients(networks[resampling], inputs_of(name, config))
        one = "up" if name == "generator" else "down"
        expected = {
            (kind, form)
            for kind, other in ((one, "strided"), ("none", "plain"))
            for form in (other, "minimal_2", "minimal_4")
        }
        assert used == (expected if resampling == "auto" else {(one, "plain"), ("none", "plain")})

    (ours, of_ours), (plain, of_plain) = results["auto"], results["plain"]
    np.testing.assert_allclose(ours, plain, rtol=0.0, atol=TOLERANCE * np.abs(plain).max())
    assert_equal_by_layers(of_ours, of_plain)
    for one, other in zip(networks["auto"].variables, networks["plain"].variables, strict=True):
        scale = max(np.abs(other.numpy()).max(), 1e-6)
        assert one.path == other.path
        np.testing.assert_allclose(one.numpy(), other.numpy(), rtol=0.0, atol=TOLERANCE * scale, err_msg=one.path)
