"""Tests of the state of a run."""

import random

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.training.adam import Adam
from sagan_tf.training.state import create_optimizer
from tests.training.tiny import find_differences, make_state, one_device, read_all_values, read_values, tiny_config


def test_equal_seeds_build_equal_networks():
    states = [read_all_values(make_state(tiny_config(seed=seed), one_device())) for seed in (3, 3, 4)]
    assert find_differences(states[0], states[1]) == set()
    kernels = [name for name in states[0] if name.endswith("kernel") and "optimizer" not in name]
    assert not any(np.isclose(states[0][name], states[2][name]).all() for name in kernels)


def test_the_random_state_of_the_caller_does_not_change():
    drawn = []
    for build in (False, True):
        keras.utils.set_random_seed(7)
        if build:
            make_state(tiny_config(seed=3), one_device())
        drawn.append((random.random(), np.random.random(), float(tf.random.uniform([]))))
    assert drawn[0] == drawn[1]


def test_the_ema_generator_is_initially_a_copy():
    state = make_state(tiny_config(), one_device())
    assert find_differences(read_values(state.generator), read_values(state.generator_ema)) == set()


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_precision_applies_to_the_networks_only(precision):
    state = make_state(tiny_config(precision=precision), one_device())
    block = state.generator.get_layer("block_1")
    assert block.convolution_1.layer.compute_dtype == {"float32": "float32"}.get(precision, precision[6:])
    assert {variable.dtype for variable in state.generator.variables} == {"float32"}
    assert keras.config.dtype_policy().name == "float32"
    assert set(state.read_loss_scales()) == (
        {"generator_loss_scale", "discriminator_loss_scale"} if precision == "mixed_float16" else set()
    )


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_optimizers_store_only_the_moments_that_they_need(precision):
    """One array of the size of a weight if beta_1 is 0, which is the default."""
    for beta_1, num_moments in ((None, 1), (0.5, 2)):
        options = {} if beta_1 is None else {"adam_beta1": beta_1}
        config = tiny_config(precision=precision, adam_beta2=0.9, adam_epsilon=1e-6, **options).training
        optimizer = create_optimizer(config, 0.1)
        weight = keras.Variable([[1.0, 2.0]])
        optimizer.build([weight])
        adam = optimizer.inner_optimizer if precision == "mixed_float16" else optimizer
        assert (type(adam), adam.beta_1, adam.beta_2, adam.epsilon) == (Adam, beta_1 or 0.0, 0.9, 1e-6)
        assert sum(variable.shape == weight.shape for variable in adam.variables) == num_moments
