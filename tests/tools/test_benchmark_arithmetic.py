"""Tests of the number of multiply-adds of small graphs, against counts by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.layers.convolutions.tiles import combine
from tools.benchmarks.arithmetic import count_multiply_adds

X = tf.ones([2, 6, 8, 3])
KERNEL = tf.ones([3, 3, 3, 5])
CONVOLUTION = 2 * 6 * 8 * 3 * 3 * 3 * 5  # of stride 1
A, B = tf.ones([4, 6]), tf.ones([6, 5])
PRODUCT = 4 * 6 * 5


def counted(function: Callable[..., Any], *arguments: tf.Tensor, **options: Any) -> int:
    return count_multiply_adds(tf.function(function, **options).get_concrete_function(*arguments).graph)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution(stride: int, padding: str) -> None:
    locations = {("SAME", 1): 6 * 8, ("SAME", 2): 3 * 4, ("VALID", 1): 4 * 6, ("VALID", 2): 2 * 3}[padding, stride]
    assert counted(lambda x, k: tf.nn.conv2d(x, k, stride, padding), X, KERNEL) == 2 * locations * 3 * 3 * 3 * 5


def test_each_gradient_of_a_convolution_costs_as_much_as_the_convolution() -> None:
    def gradients(x: tf.Tensor, kernel: tf.Tensor, wanted: str) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([x, kernel])
            y = tf.nn.conv2d(x, kernel, 2, "SAME")
        return tape.gradient(y, {"x": [x], "kernel": [kernel], "both": [x, kernel]}[wanted], tf.ones_like(y))

    strided = CONVOLUTION // 4
    # The gradients do not depend on the result of the convolution, which is pruned and does not count.
    assert counted(lambda x, kernel: gradients(x, kernel, "x"), X, KERNEL) == strided
    assert counted(lambda x, kernel: gradients(x, kernel, "kernel"), X, KERNEL) == strided
    assert counted(lambda x, kernel: gradients(x, kernel, "both"), X, KERNEL) == 2 * strided


def test_transposed_convolution() -> None:
    kernel = tf.ones([4, 4, 7, 3])
    count = counted(lambda x: tf.nn.conv2d_transpose(x, kernel, [2, 12, 16, 7], 2, "SAME"), X)
    assert count == 2 * 6 * 8 * 4 * 4 * 7 * 3


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize("batch", [(), (3,), (3, 2)])
def test_matrix_product(transpose_a: bool, transpose_b: bool, batch: tuple[int, ...]) -> None:
    a, b = tf.ones([*batch, 4, 6]), tf.ones([*batch, 6, 5])
    a = tf.linalg.matrix_transpose(a) if transpose_a else a
    b = tf.linalg.matrix_transpose(b) if transpose_b else b
    product = counted(lambda a, b: tf.matmul(a, b, transpose_a=transpose_a, transpose_b=transpose_b), a, b)
    assert product == PRODUCT * {(): 1, (3,): 3, (3, 2): 6}[batch]


def test_product_with_a_broadcast_matrix() -> None:
    assert counted(tf.matmul, tf.ones([9, 4, 6]), B[tf.newaxis]) == 9 * PRODUCT


def test_transforms_count_only_on_request() -> None:
    combinations = np.ones([7, 4])
    graph = tf.function(lambda a, b: combine(combinations, tf.matmul(a, b))).get_concrete_function(A, B).graph
    assert count_multiply_adds(graph) == PRODUCT
    assert count_multiply_adds(graph, transforms=True) == PRODUCT + 7 * 4 * 5


def test_elementwise_operations_do_not_count() -> None:
    assert counted(lambda a: tf.reduce_sum(tf.nn.relu(a) * a + tf.exp(a)), A) == 0


def test_unused_operations_do_not_count() -> None:
    def function(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        tf.matmul(a, b)
        return tf.matmul(a, b) + tf.cast(tf.shape(tf.matmul(a, b))[0], tf.float32) * 0.0

    # The static shape of a product does not depend on the product.
    assert counted(function, A, B) == PRODUCT


def test_operations_for_a_side_effect_count() -> None:
    variable = tf.Variable(tf.zeros([4, 5]))

    def function(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        variable.assign(tf.matmul(a, b))
        return tf.reduce_sum(a)

    assert counted(function, A, B) == PRODUCT


def test_operations_for_a_side_effect_in_a_loop_count() -> None:
    variable = tf.Variable(tf.zeros([4, 5]))

    def function(a: tf.Tensor, b: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(steps):
            variable.assign_add(tf.matmul(a, b))
        return steps

    assert counted(function, A, B, tf.constant(3)) == PRODUCT


def test_control_inputs_count() -> None:
    def function(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        with tf.control_dependencies([tf.matmul(a, b)]):
            return tf.identity(a)

    assert counted(function, A, B) == PRODUCT


def test_the_body_of_a_loop_counts_once() -> None:
    square = tf.ones([4, 4])

    def function(x: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
        for _ in tf.range(steps):
            x = tf.matmul(x, square)
        return x

    assert counted(function, tf.ones([3, 4]), tf.constant(7)) == 3 * 4 * 4


@pytest.mark.parametrize("jit_compile", [None, True])
def test_each_call_of_a_function_counts(jit_compile: bool | None) -> None:
    inner = tf.function(tf.matmul, jit_compile=jit_compile)
    assert counted(lambda a, b: inner(a, b) + inner(2.0 * a, b), A, B) == 2 * PRODUCT


def test_both_branches_count() -> None:
    def function(a: tf.Tensor, b: tf.Tensor, which: tf.Tensor) -> tf.Tensor:
        return tf.cond(which > 0, lambda: tf.matmul(a, b), lambda: 2.0 * tf.matmul(a + 1.0, b))

    assert counted(function, A, B, tf.constant(1)) == 2 * PRODUCT


def test_every_branch_of_a_switch_counts() -> None:
    def function(a: tf.Tensor, b: tf.Tensor, which: tf.Tensor) -> tf.Tensor:
        return tf.switch_case(which, [lambda: tf.matmul(a, b), lambda: tf.zeros([4, 5]), lambda: tf.matmul(-a, b)])

    assert counted(function, A, B, tf.constant(1)) == 2 * PRODUCT


@pytest.mark.parametrize("operation", ["Conv2D", "MatMul"])
def test_unknown_sizes_raise(operation: str) -> None:
    specs = {"Conv2D": tf.TensorSpec([None, 6, 8, 3]), "MatMul": tf.TensorSpec([None, 6])}
    functions = {"Conv2D": lambda x: tf.nn.conv2d(x, KERNEL, 1, "SAME"), "MatMul": lambda x: tf.matmul(x, B)}
    with pytest.raises(ValueError, match=rf"{operation} .*\[None, "):
        counted(functions[operation], specs[operation])
