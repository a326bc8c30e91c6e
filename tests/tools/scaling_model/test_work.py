"""Work of small graphs, counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from tools.scaling_model.work import BatchWork, Work, count_graph_work

A, B = tf.ones([4, 6]), tf.ones([6, 5])
A_BYTES = 4 * 6 * 4


def count_work(function: Callable[..., Any], *arguments: Any) -> Work:
    return count_graph_work(tf.function(function, autograph=False).get_concrete_function(*arguments).graph)


def test_products_count_as_arithmetic_only() -> None:
    assert count_work(tf.matmul, A, B) == Work(flops=2 * 4 * 6 * 5, traffic_bytes=0, operations=1)


def test_other_operations_count_as_traffic_only() -> None:
    assert count_work(tf.nn.relu, A) == Work(flops=0, traffic_bytes=2 * A_BYTES, operations=1)
    assert count_work(tf.add, A, A) == Work(flops=0, traffic_bytes=3 * A_BYTES, operations=1)


def test_half_precision_halves_the_traffic() -> None:
    assert count_work(tf.nn.relu, tf.cast(A, tf.bfloat16)).traffic_bytes == A_BYTES


def test_renaming_a_tensor_moves_no_data() -> None:
    assert count_work(lambda a: tf.identity(tf.stop_gradient(tf.expand_dims(tf.reshape(a, [24]), 0))), A) == Work()


def test_integer_operations_are_not_launched() -> None:
    work = count_work(lambda a: tf.add(tf.cast(a, tf.int32), 1), A)
    assert work.operations == 0 and work.traffic_bytes > 0


def test_unused_operations_do_not_count() -> None:
    def function(a: tf.Tensor) -> tf.Tensor:
        tf.nn.relu(a)
        return tf.identity(a)

    assert count_work(function, A) == Work()


def test_an_optimizer_reads_and_writes_its_variables() -> None:
    variable, moment = tf.Variable(A), tf.Variable(A)

    def update(gradient: tf.Tensor) -> None:
        tf.raw_ops.ResourceApplyAdagradV2(
            var=variable.handle, accum=moment.handle, lr=0.1, epsilon=1e-8, grad=gradient, update_slots=True
        )

    work = count_work(update, A)
    assert work.operations == 1
    assert work.traffic_bytes == (1 + 2 * 2) * A_BYTES + 2 * 4  # gradient, two variables read and written, two scalars


def test_called_functions_and_branches_count() -> None:
    def function(a: tf.Tensor, which: tf.Tensor) -> tf.Tensor:
        return tf.cond(which > 0, lambda: tf.matmul(a, B), lambda: tf.matmul(tf.nn.relu(a), B))

    work = count_work(function, A, tf.constant(1))
    assert work.flops == 2 * (2 * 4 * 6 * 5)
    assert work.operations == 3
    # Besides ReLU there is the comparison of two int32 scalars, which gives a bool.
    assert work.traffic_bytes == 2 * A_BYTES + 4 + 4 + 1


def test_a_function_that_xla_compiles_is_one_operation() -> None:
    def function(a: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.nn.relu(a) * 2.0, B)

    product = Work(flops=2 * 4 * 6 * 5)
    b_bytes, product_bytes = 4 * 6 * 5, 4 * 4 * 5
    assert count_work(function, A) == product + Work(0, 4 * A_BYTES + 4, 3)  # relu, the doubled relu, a scalar
    compiled = tf.function(function, jit_compile=True, autograph=False)
    work = count_work(lambda a: tf.nn.relu(compiled(a)), A)
    assert work == product + Work(0, A_BYTES + b_bytes + product_bytes + 2 * product_bytes, 2)


def test_unknown_sizes_are_left_out_of_the_traffic() -> None:
    work = count_work(tf.nn.relu, tf.TensorSpec([None, 6]))
    assert work == Work(operations=1)


def test_sums_and_multiples() -> None:
    assert Work(1, 2, 3) + Work(10, 20, 30) == Work(11, 22, 33)
    assert Work(1, 2, 3).scale(4) == Work(4, 8, 12)
    work = BatchWork(Work(1), Work(2))
    assert (work + work.scale(2)).evaluate(5) == Work(3 * (1 + 2 * 5))


def test_line_through_two_batches() -> None:
    line = BatchWork.fit_line(2, Work(7, 30, 4), 5, Work(13, 60, 4))
    assert line == BatchWork(fixed=Work(3, 10, 4), per_image=Work(2, 10, 0))
    assert line.evaluate(2) == Work(7, 30, 4) and line.evaluate(5) == Work(13, 60, 4)


@pytest.mark.parametrize("images", [1, 3, 8])
def test_work_of_a_layer_is_on_its_line(images: int) -> None:
    def layer(images: int) -> Work:
        return count_work(lambda x: tf.nn.relu(tf.matmul(x, B * 2.0)), tf.ones([images, 6]))

    line = BatchWork.fit_line(2, layer(2), 4, layer(4))
    assert line.evaluate(images) == layer(images)
    assert line.fixed == Work(0, 2 * 6 * 5 * 4 + 4, 3)  # the doubled kernel; all three operations are launched
