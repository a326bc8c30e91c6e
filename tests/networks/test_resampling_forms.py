"""Networks with the fastest forms of convolutions compared with plain forms and the same weights."""

from collections.abc import Callable
from typing import Any

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
# At this width, every form is the fastest for some layer of each network.
WIDE: dict[str, Any] = {
    "resolution": 64,
    "base_channels": 48,
    "num_classes": 3,
    "latent_dim": 6,
    "attention_resolutions": (16,),
    "attention_form": "paper",
}
NETWORKS: dict[str, Callable[[ModelConfig], keras.Model]] = {
    "generator": build_generator,
    "discriminator": build_discriminator,
}
BATCH = 2

every_network = pytest.mark.parametrize("name", NETWORKS)


def make_inputs(name: str, config: ModelConfig) -> list[np.ndarray]:
    first = latents(BATCH, config) if name == "generator" else images(BATCH, config)
    return [first, labels(BATCH)]


def outputs_and_gradients(network: keras.Model, inputs: list[np.ndarray]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the outputs in training, and the gradients of the first input and of every weight by path."""

    @tf.function(autograph=False)
    def run(first: tf.Tensor, second: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        sources = [first, *(variable.value for variable in network.trainable_variables)]
        with tf.GradientTape() as tape:
            tape.watch(first)
            outputs = network([first, second], training=True)
        upstream = tf.sin(tf.reshape(tf.range(tf.size(outputs), dtype=tf.float32), tf.shape(outputs)))
        return outputs, [tf.convert_to_tensor(gradient) for gradient in tape.gradient(outputs, sources, upstream)]

    outputs, gradients = run(*map(tf.constant, inputs))
    paths = ["inputs/first", *(variable.path for variable in network.trainable_variables)]
    return outputs.numpy(), {path: gradient.numpy() for path, gradient in zip(paths, gradients, strict=True)}


def assert_layers_equal(actual: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> None:
    """Assert that differences are at most `TOLERANCE` times the largest entry of the same layer.

    The largest entry of the array itself cannot be used, because the gradient of a bias before batch normalization is 0
    except for rounding errors.
    """
    largest: dict[str, float] = {}
    for path, value in expected.items():
        layer = path.rsplit("/", 1)[0]
        largest[layer] = max(largest.get(layer, 0.0), float(np.abs(value).max()))
    assert actual.keys() == expected.keys()
    differences = {
        path: np.abs(actual[path] - expected[path]).max() / largest[path.rsplit("/", 1)[0]] for path in actual
    }
    assert not {path: difference for path, difference in differences.items() if not difference <= TOLERANCE}


@every_network
def test_fastest_forms_equal_plain_forms(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # If an input of ReLU is near 0 or max pooling has a tie, rounding decides where the gradient flows: rounded latents
    # alone change gradients by several hundredths. Therefore ReLU is replaced by a smooth function, and attention does
    # not pool.
    monkeypatch.setattr(tf.nn, "relu", tf.nn.softplus)
    monkeypatch.setattr(accelerators, "has_accelerator", lambda: False)
    used: set[tuple[str, str]] = set()

    def record(resampling: str, form: str, function: Callable[..., tf.Tensor]) -> Callable[..., tf.Tensor]:
        def recorded(x: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
            used.add((resampling, form))
            return function(x, kernel)

        return recorded

    for resampling, forms in FORMS.items():
        for form, function in forms.items():
            monkeypatch.setitem(forms, form, record(resampling, form, function))

    results, networks = {}, {}
    for resampling in ("auto", "plain"):
        config = ModelConfig(resampling=resampling, **WIDE)
        keras.utils.set_random_seed(1)  # `stir` adds to the initial values
        networks[resampling] = NETWORKS[name](config)
        stir(networks[resampling])
        used.clear()
        results[resampling] = outputs_and_gradients(networks[resampling], make_inputs(name, config))
        direction = "up" if name == "generator" else "down"
        expected = {
            (kind, form)
            for kind, narrow_form in ((direction, "strided"), ("none", "plain"))
            for form in (narrow_form, "minimal_2", "minimal_4")
        }
        assert used == (expected if resampling == "auto" else {(direction, "plain"), ("none", "plain")})

    (auto, auto_gradients), (plain, plain_gradients) = results["auto"], results["plain"]
    np.testing.assert_allclose(auto, plain, rtol=0.0, atol=TOLERANCE * np.abs(plain).max())
    assert_layers_equal(auto_gradients, plain_gradients)
    for variable, reference in zip(networks["auto"].variables, networks["plain"].variables, strict=True):
        path, tolerance = variable.path, TOLERANCE * max(np.abs(reference.numpy()).max(), 1e-6)
        assert path == reference.path
        np.testing.assert_allclose(variable.numpy(), reference.numpy(), rtol=0.0, atol=tolerance, err_msg=path)
