"""Tests of the scalars of the networks."""

import numpy as np

from sagan_tf.training.network_scalars import create_scalar_reader
from tests.training.tiny import make_state, one_device, tiny_config, two_replicas


def test_every_gamma_and_sigma_is_read():
    state = make_state(tiny_config(), one_device())
    scalars = create_scalar_reader(state)()
    assert scalars["gamma/generator/attention_16"] == 0.5 and scalars["gamma/discriminator/attention_16"] == 0.5
    num_normalized = sum(variable.name == "u" for variable in state.generator.variables + state.discriminator.variables)
    assert sum(name.startswith("sigma/") for name in scalars) == num_normalized
    layer = state.discriminator.get_layer("block_2").convolution_1
    for _ in range(50):
        layer(np.zeros([1, 16, 16, 4], np.float32), training=True)
    kernel = layer.layer.kernel.numpy().reshape(-1, 4)
    sigma = create_scalar_reader(state)()["sigma/discriminator/block_2/convolution_1"]
    np.testing.assert_allclose(sigma, np.linalg.svd(kernel, compute_uv=False)[0], rtol=1e-4)


def test_networks_without_attention_and_spectral_norm_have_no_scalars():
    plain = {"generator_spectral_norm": False, "discriminator_spectral_norm": False, "attention_resolutions": ()}
    assert create_scalar_reader(make_state(tiny_config(**plain), one_device()))() == {}


def test_mirrored_variables_are_read():
    state = make_state(tiny_config(), two_replicas())
    assert create_scalar_reader(state)()["gamma/generator/attention_16"] == 0.5
