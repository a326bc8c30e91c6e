"""Both forms of power iteration and their gradients, compared with singular value decompositions."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers.power_iteration import (
    estimate_bounded_sigma,
    estimate_bounded_sigma_compiled,
    estimate_sigma,
    find_unit_sigma_vector,
)
from tests.layers.replicas import two_replicas

EPSILON = 1e-8
FORMS: dict[str, Callable[..., Any]] = {
    "operations": estimate_bounded_sigma,
    "compiled": estimate_bounded_sigma_compiled,
}
every_form = pytest.mark.parametrize("form", FORMS)


def make_matrix(rows: int = 12, columns: int = 5, scale: float = 1.0) -> tf.Tensor:
    return tf.constant(scale * np.random.default_rng(1).normal(size=(rows, columns)), tf.float32)


def make_vector(rows: int = 12) -> tf.Tensor:
    return tf.constant(np.random.default_rng(2).normal(size=(rows, 1)), tf.float32)


@every_form
@pytest.mark.parametrize("iterations", [1, 2])
def test_convergence_to_the_largest_singular_value(form: str, iterations: int) -> None:
    w, u = make_matrix(), make_vector()
    for _ in range(60):
        sigma, u = FORMS[form](w, u, iterations, EPSILON, EPSILON)
    left, values, _ = np.linalg.svd(w)
    np.testing.assert_allclose(sigma, values[0], rtol=1e-5)
    np.testing.assert_allclose(np.abs(u[:, 0]), np.abs(left[:, 0]), atol=1e-4)


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("minimum", [EPSILON, 1.0, 100.0])
@pytest.mark.parametrize("size", [(12, 5), (5, 12), (40, 1), (1, 7)])
def test_both_forms_agree_far_from_convergence(iterations: int, minimum: float, size: tuple[int, int]) -> None:
    """Compare the bounded sigma, the next u and the gradient, for sigma above and below the minimum."""
    w, u = make_matrix(*size), make_vector(size[0])
    found = []
    for function in FORMS.values():
        with tf.GradientTape() as tape:
            tape.watch(w)
            sigma, next_u = function(w, u, iterations, EPSILON, minimum)
            loss = tf.sin(sigma) + tf.reduce_sum(next_u)
        found.append([sigma, next_u, tape.gradient(loss, w, unconnected_gradients="zero")])
    assert (float(estimate_sigma(w, u, iterations, EPSILON)[0]) < minimum) == (minimum == 100.0)
    assert bool(tf.reduce_any(found[0][2] != 0.0)) == (minimum < 100.0)
    for operations, compiled in zip(*found, strict=True):
        np.testing.assert_allclose(compiled, operations, rtol=1e-5, atol=1e-6)


def test_both_forms_agree_in_second_derivatives() -> None:
    """Compare the gradients of |d f(x / sigma) / dx|^2 with respect to the matrix, as in a gradient penalty."""
    w, u, x = make_matrix(), make_vector(), make_matrix(4, 12)
    found = []
    for function in FORMS.values():
        with tf.GradientTape() as outer:
            outer.watch(w)
            with tf.GradientTape() as inner:
                inner.watch(x)
                outputs = tf.sin(x @ (w / function(w, u, 1, EPSILON, EPSILON)[0]))
            penalty = tf.reduce_sum(tf.square(inner.gradient(outputs, x)))
        found.append(outer.gradient(penalty, w))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-4, atol=1e-5)


@every_form
def test_matrix_of_zeros_keeps_u_and_gives_the_minimum(form: str) -> None:
    w, u = tf.zeros([3, 2]), make_vector(3)
    sigma, next_u = FORMS[form](w, u, 1, EPSILON, 0.25)
    assert float(sigma) == 0.25
    np.testing.assert_array_equal(next_u, u)


def test_replicas_and_graphs_share_one_compiled_function() -> None:
    """The function is not placed on a device, so it is traced once for all devices."""

    def step(w: tf.Tensor, u: tf.Tensor) -> Any:
        return two_replicas().run(estimate_bounded_sigma_compiled, (w, u, 1, EPSILON, EPSILON))

    operands = make_matrix(6, 4), make_vector(6)
    graphs = [tf.function(step, autograph=False).get_concrete_function(*operands).graph for _ in range(2)]
    calls = [op for graph in graphs for op in graph.get_operations() if "_XlaMustCompile" in op.node_def.attr]
    assert [call.device[-5:] for call in calls] == 2 * ["CPU:0", "CPU:1"]
    (name,) = {call.get_attr("f").name for call in calls}
    assert {op.device for op in graphs[0]._get_function(name).graph.get_operations()} == {""}


def test_compiled_form_inside_compiled_functions_and_loops() -> None:
    w, u = make_matrix(), make_vector()

    @tf.function(jit_compile=True)
    def converge(w: tf.Tensor, u: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(60):
            _, u = estimate_bounded_sigma_compiled(w, u, 1, EPSILON, EPSILON)
        return estimate_bounded_sigma_compiled(w, u, 1, EPSILON, EPSILON)[0]

    np.testing.assert_allclose(converge(w, u), np.linalg.svd(w, compute_uv=False)[0], rtol=1e-5)


@pytest.mark.parametrize("shape", [(12, 5), (5, 12), (4, 1), (1, 4)])
def test_unit_sigma_vector_of_a_normalized_matrix_is_its_singular_vector(shape: tuple[int, int]) -> None:
    left, values, _ = np.linalg.svd(make_matrix(*shape))
    u = find_unit_sigma_vector(make_matrix(*shape).numpy() / values[0], 1)
    np.testing.assert_allclose(np.abs(u[:, 0]), np.abs(left[:, 0]), atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(u), 1.0, rtol=1e-6)


@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize("shape", [(12, 5), (5, 12)])
def test_unit_sigma_vector_of_a_matrix_divided_by_an_estimate(shape: tuple[int, int], iterations: int) -> None:
    w, u = make_matrix(*shape), make_vector(shape[0])
    w = w / estimate_sigma(w, u, iterations, EPSILON)[0]
    assert np.linalg.norm(w, 2) > 1.005
    sigma, _ = estimate_sigma(w, tf.constant(find_unit_sigma_vector(w.numpy(), iterations)), iterations, EPSILON)
    np.testing.assert_allclose(sigma, 1.0, rtol=1e-5)


@pytest.mark.parametrize("shape", [(3, 2), (2, 3)])
def test_sigma_recovers_from_the_unit_sigma_vector_of_zeros(shape: tuple[int, int]) -> None:
    u = find_unit_sigma_vector(np.zeros(shape, np.float32), 1)
    np.testing.assert_allclose(np.linalg.norm(u), 1.0, rtol=1e-6)
    assert float(estimate_sigma(make_matrix(*shape), tf.constant(u), 1, EPSILON)[0]) > 0.1


@pytest.mark.parametrize("values", [(2.0, 1.0), (2.0, 0.0), (1.5, 1.5)])
def test_matrix_without_a_unit_sigma_vector_is_an_error(values: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=f"value {values[0]:g} "):
        find_unit_sigma_vector(np.diag(values), 1)


def test_unit_sigma_vector_of_a_rounded_matrix() -> None:
    """A kernel with one column has no other singular value, and rounding leaves it slightly above 1."""
    w = make_matrix(12, 1).numpy()
    u = find_unit_sigma_vector(w / np.linalg.norm(w) * (1.0 + 1e-4), 1)
    np.testing.assert_allclose(np.abs(u), np.abs(w) / np.linalg.norm(w), rtol=1e-5)
