"""Orthogonal regularization compared with its closed form."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.networks import build_generator
from sagan_tf.regularization.orthogonal import (
    OrthogonalRegularization,
    compute_off_diagonal_square,
    find_kernels,
    reshape_to_matrix,
)
from tests.training.tiny import tiny_config


@pytest.mark.parametrize("shape", [(7, 4), (4, 7), (5, 5)])
def test_value_and_gradient(shape: tuple[int, int]):
    w = np.random.default_rng(0).normal(size=shape)
    off = w.T @ w * (1.0 - np.eye(shape[1]))
    variable = tf.Variable(w, dtype=tf.float32)
    with tf.GradientTape() as tape:
        penalty = compute_off_diagonal_square(tf.convert_to_tensor(variable))
    assert float(penalty) == pytest.approx((off**2).sum(), rel=1e-5)
    np.testing.assert_allclose(tape.gradient(penalty, variable), 4.0 * w @ off, rtol=1e-4, atol=1e-4)


def test_half_the_weight_of_biggan_pytorch_gives_its_gradient():
    """BigGAN-PyTorch adds strength * 2 ((V V^T) * (1 - I)) V to the gradient of a kernel V, [output, other axes]."""
    network = keras.Sequential([keras.Input([7]), keras.layers.Dense(4)])
    kernel, strength = network.layers[-1].kernel, 1e-4
    with tf.GradientTape() as tape:
        term, _ = OrthogonalRegularization(network, strength / 2)(None)
    v = kernel.numpy().T.astype(np.float64)
    expected = strength * 2.0 * ((v @ v.T) * (1.0 - np.eye(4))) @ v
    np.testing.assert_allclose(tape.gradient(term, kernel.value), expected.T, rtol=1e-5, atol=1e-10)


def test_orthogonal_filters_of_any_length_have_no_penalty():
    q, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(9, 4)))
    matrix = tf.constant(q * [1.0, 2.0, 3.0, 4.0], tf.float32)
    assert float(compute_off_diagonal_square(matrix)) == pytest.approx(0.0, abs=1e-8)


@pytest.mark.parametrize("options", [{}, {"architecture": "dcgan", "attention_resolutions": ()}])
def test_every_kernel_but_no_table_of_the_generator_is_regularized(options: dict):
    network = build_generator(tiny_config(**options).model)
    expected = [variable for variable in network.trainable_variables if variable.name == "kernel"]
    found = find_kernels(network)
    assert {id(kernel) for _, kernel in found} == {id(kernel) for kernel in expected} and len(found) == len(
        expected
    ) > 3
    total = 0.0
    for layer, kernel in found:
        values = kernel.numpy()
        if isinstance(layer, keras.layers.Conv2DTranspose):
            values = values.swapaxes(2, 3)
            assert reshape_to_matrix(layer, kernel).shape[1] == layer.filters
        matrix = values.reshape(-1, values.shape[-1]).astype(np.float64)
        total += ((matrix.T @ matrix * (1.0 - np.eye(matrix.shape[1]))) ** 2).sum()
    term, metrics = OrthogonalRegularization(network, 0.5)(None)
    assert float(term) == pytest.approx(0.5 * total, rel=1e-4)
    assert float(metrics["orthogonal_penalty"]) == pytest.approx(total, rel=1e-4)
