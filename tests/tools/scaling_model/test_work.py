"""Work of small graphs, counted by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf

from tools.scaling_model.work import BatchWork, Work, graph_work

A, B = tf.ones([4, 6]), tf.ones([6, 5])
A_BYTES = 4 * 6 * 4


def work_of(function: Callable[..., Any], *arguments: Any) -> Work:
    return graph_work(tf.function(function, autograph=False).get_concrete_function(*arguments).graph)


def test_products_are_arithmetic_and_no_traffic() -> None:
    assert work_of(tf.matmul, A, B) == Work(flops=2 * 4 * 6 * 5, traffic_bytes=0, operations=1)


def test_everything_else_is_traffic_and_no_arithmetic() -> None:
    assert work_of(tf.nn.relu, A) == Work(flops=0, traffic_bytes=2 * A_BYTES, operations=1)
    assert work_of(tf.add, A, A) == Work(flops=0, traffic_bytes=3 * A_BYTES, operations=1)


def test_half_precision_moves_half() -> None:
    assert work_of(tf.nn.relu, tf.cast(A, tf.bfloat16)).traffic_bytes == A_BYTES


def test_other_names_for_a_tensor_move_nothing() -> None:
    assert work_of(lambda a: tf.identity(tf.stop_gradient(tf.expand_dims(tf.reshape(a, [24]), 0))), A) == Work()


def test_counting_is_not_launched() -> None:
    work = work_of(lambda a: tf.add(tf.cast(a, tf.int32), 1), A)
    assert work.operations == 0 and work.traffic_bytes > 0


def test_what_nothing_needs_is_not_done() -> None:
    def function(a: tf.Tensor) -> tf.Tensor:
        tf.nn.relu(a)
        return tf.identity(a)

    assert work_of(function, A) == Work()


def test_an_optimizer_reads_and_writes_its_variables() -> None:
    variable, moment = tf.Variable(A), tf.Variable(A)

    def update(gradient: tf.Tensor) -> None:
        tf.raw_ops.ResourceApplyAdagradV2(
            var=variable.handle, accum=moment.handle, lr=0.1, epsilon=1e-8, grad=gradient, update_slots=True
        )

    work = work_of(update, A)
    assert work.operations == 1
    assert work.traffic_bytes == (1 + 2 * 2) * A_BYTES + 2 * 4  # gradient, two variables both ways, two scalars


def test_functions_and_branches_inside_count() -> None:
    def function(a: tf.Tensor, which: tf.Tensor) -> tf.Tensor:
        return tf.cond(which > 0, lambda: tf.matmul(a, B), lambda: tf.matmul(tf.nn.relu(a), B))

    work = work_of(function, A, tf.constant(1))
    assert work.flops == 2 * (2 * 4 * 6 * 5)
    assert work.operations == 3
    # Beside relu, the comparison: two int32 scalars and a bool.
    assert work.traffic_bytes == 2 * A_BYTES + 4 + 4 + 1


def test_what_xla_compiles_is_one_operation_that_moves_its_inputs_and_outputs() -> None:
    def function(a: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.nn.relu(a) * 2.0, B)

    product = Work(flops=2 * 4 * 6 * 5)
    b_bytes, product_bytes = 4 * 6 * 5, 4 * 4 * 5
    assert work_of(function, A) == product + Work(0, 4 * A_BYTES + 4, 3)  # relu, the doubled relu, a scalar
    compiled = tf.function(function, jit_compile=True, autograph=False)
    work = work_of(lambda a: tf.nn.relu(compiled(a)), A)
    assert work == product + Work(0, A_BYTES + b_bytes + product_bytes + 2 * product_bytes, 2)


def test_sizes_that_are_not_known_are_left_out_of_the_traffic() -> None:
    work = work_of(tf.nn.relu, tf.TensorSpec([None, 6]))
    assert work == Work(operations=1)


def test_sums_and_multiples() -> None:
    assert Work(1, 2, 3) + Work(10, 20, 30) == Work(11, 22, 33)
    assert Work(1, 2, 3).times(4) == Work(4, 8, 12)
    one = BatchWork(Work(1), Work(2))
    assert (one + one.times(2)).of(5) == Work(3 * (1 + 2 * 5))


def test_the_line_through_two_batches() -> None:
    line = BatchWork.through(2, Work(7, 30, 4), 5, Work(13, 60, 4))
    assert line == BatchWork(fixed=Work(3, 10, 4), per_image=Work(2, 10, 0))
    assert line.of(2) == Work(7, 30, 4) and line.of(5) == Work(13, 60, 4)


@pytest.mark.parametrize("images", [1, 3, 8])
def test_a_layer_is_on_its_line(images: int) -> None:
    def layer(images: int) -> Work:
        return work_of(lambda x: tf.nn.relu(tf.matmul(x, B * 2.0)), tf.ones([images, 6]))

    line = BatchWork.through(2, layer(2), 4, layer(4))
    assert line.of(images) == layer(images)
    assert line.fixed == Work(0, 2 * 6 * 5 * 4 + 4, 3)  # the doubled kernel; and all three are launched
