import numpy as np

from sagan_tf.training.network_scalars import network_scalars, parameter_count
from tests.training.tiny import make_state, one_device, tiny_config, two_replicas


def test_every_gamma_and_sigma_is_read():
    state = make_state(tiny_config(), one_device())
    found = network_scalars(state)()
    assert found["gamma/generator/attention_16"] == 0.5 and found["gamma/discriminator/attention_16"] == 0.5
    normalised = sum(variable.name == "u" for variable in state.generator.variables + state.discriminator.variables)
    assert sum(name.startswith("sigma/") for name in found) == normalised
    layer = state.discriminator.get_layer("block_2").convolution_1
    for _ in range(50):
        layer(np.zeros([1, 16, 16, 4], np.float32), training=True)
    kernel = layer.layer.kernel.numpy().reshape(-1, 4)
    sigma = network_scalars(state)()["sigma/discriminator/block_2/convolution_1"]
    np.testing.assert_allclose(sigma, np.linalg.svd(kernel, compute_uv=False)[0], rtol=1e-4)


def test_networks_without_attention_and_spectral_norm_have_none():
    plain = {"generator_spectral_norm": False, "discriminator_spectral_norm": False, "attention_resolutions": ()}
    assert network_scalars(make_state(tiny_config(**plain), one_device()))() == {}


def test_it_reads_mirrored_variables():
    state = make_state(tiny_config(), two_replicas())
    assert network_scalars(state)()["gamma/generator/attention_16"] == 0.5


def test_parameter_count_is_of_trainable_ones():
    state = make_state(tiny_config(), one_device())
    counted = sum(np.prod(variable.shape) for variable in state.generator.trainable_variables)
    assert parameter_count(state.generator) == counted
