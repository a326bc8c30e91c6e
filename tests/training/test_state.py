import keras
import numpy as np
import pytest

from tests.training.tiny import all_values, differences, make_state, one_device, tiny_config, values


def test_equal_seeds_build_equal_networks():
    states = [all_values(make_state(tiny_config(seed=seed), one_device())) for seed in (3, 3, 4)]
    assert differences(states[0], states[1]) == set()
    kernels = [name for name in states[0] if name.endswith("kernel") and "optimizer" not in name]
    assert not any(np.isclose(states[0][name], states[2][name]).all() for name in kernels)


def test_the_average_begins_as_a_copy():
    state = make_state(tiny_config(), one_device())
    assert differences(values(state.generator), values(state.generator_ema)) == set()


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_precision_is_of_the_networks_and_nobody_elses(precision: str):
    state = make_state(tiny_config(precision=precision), one_device())
    block = state.generator.get_layer("block_1")
    assert block.convolution_1.layer.compute_dtype == {"float32": "float32"}.get(precision, precision[6:])
    assert {variable.dtype for variable in state.generator.variables} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    assert set(state.loss_scales()) == (
        {"generator_loss_scale", "discriminator_loss_scale"} if precision == "mixed_float16" else set()
    )


def test_optimizers_have_their_own_learning_rates():
    state = make_state(tiny_config(generator_learning_rate=0.1, discriminator_learning_rate=0.4), one_device())
    assert float(state.generator_optimizer.learning_rate.numpy()) == pytest.approx(0.1)
    assert float(state.discriminator_optimizer.learning_rate.numpy()) == pytest.approx(0.4)
