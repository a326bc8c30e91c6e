"""Accumulation, scaling and application of the gradients of a replica."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import tensorflow as tf

from sagan_tf.keras_backend import keras

Metrics = dict[str, tf.Tensor]
LossFunction = Callable[..., tuple[tf.Tensor, Metrics]]
"""Maps the tensors of a part of the batch to its mean loss and its metrics (scalars)."""


def accumulate_gradients(
    compute_loss: LossFunction,
    variables: Sequence[keras.Variable],
    optimizer: keras.optimizers.Optimizer,
    batch: Sequence[tf.Tensor],
    num_parts: int,
) -> tuple[list[tf.Tensor], Metrics]:
    """Compute the gradients of the mean loss over a batch, part by part.

    All parts except the last run inside an empty `StatelessScope`. So all parts start from the same `u`, sigma is the
    same in the whole update, and `u` and the moving statistics are updated once.

    Args:
        compute_loss: The loss function.
        variables: The variables to differentiate with respect to.
        optimizer: The optimizer, which has the loss scale.
        batch: Tensors with the same first dimension, which is divisible by `num_parts`.
        num_parts: The number of parts.

    Returns:
        The gradients, multiplied by the loss scale and divided by the number of replicas (the optimizer sums over
        replicas), and the metrics, which are means over the parts.
    """
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    raw_variables = [variable.value for variable in variables]
    gradients: list[tf.Tensor] = []
    metrics: list[Metrics] = []
    for index, part in enumerate(zip(*(split_batch(tensor, num_parts) for tensor in batch), strict=True)):
        last = index == num_parts - 1
        # Each part waits for the part before. Otherwise all of them would be in memory at once.
        with tf.control_dependencies(gradients), contextlib.nullcontext() if last else keras.StatelessScope():
            inputs = [tf.identity(tensor) for tensor in part]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(raw_variables)
                loss, part_metrics = compute_loss(*inputs)
                scaled = optimizer.scale_loss(loss / (num_parts * replicas))
            # Dense: rows of a table that the batch did not use have gradient 0, so that Adam's moments decay for them.
            part_gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(scaled, raw_variables)]
        pairs = zip(gradients, part_gradients, strict=True)
        gradients = [total + gradient for total, gradient in pairs] if gradients else part_gradients
        metrics.append(part_metrics)
    return gradients, {name: tf.add_n([part[name] for part in metrics]) / num_parts for name in metrics[0]}


def split_batch(tensor: tf.Tensor, num_parts: int) -> list[tf.Tensor]:
    """Split a batch into equal parts.

    Args:
        tensor: The batch; its first dimension is static and divisible by `num_parts`.
        num_parts: The number of parts.
    """
    if not tensor.dtype.is_integer:
        return tf.split(tensor, num_parts)
    # TensorFlow has no GPU kernel that splits integers: the host would have to wait for the GPU and copy them.
    size = tensor.shape[0] // num_parts
    return [tensor[part * size : (part + 1) * size] for part in range(num_parts)]


def apply_gradients(
    optimizer: keras.optimizers.Optimizer, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable]
) -> tf.Tensor:
    """Update variables and return the gradient norm of this replica.

    With loss scaling, an update whose gradients are not finite on any replica is skipped on all replicas, the loss
    scale is halved, and the norm is 0.

    Args:
        optimizer: The optimizer.
        gradients: The gradients, as `accumulate_gradients` returns them.
        variables: The variables to update.

    Returns:
        The norm of the gradient of this replica's own mean loss, float32 scalar.
    """
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    norm = tf.linalg.global_norm(gradients) * replicas
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        norm /= tf.convert_to_tensor(optimizer.dynamic_scale)
        gradients = _propagate_overflow(gradients, norm)
        norm = tf.where(tf.math.is_finite(norm), norm, 0.0)
    optimizer.apply(list(gradients), list(variables))
    return norm


def _propagate_overflow(gradients: Sequence[tf.Tensor], norm: tf.Tensor) -> list[tf.Tensor]:
    """Add NaN to the gradients of all replicas if those of any are not finite.

    The optimizer of Keras checks the gradients of the first replica only.
    """
    overflow = tf.cast(tf.logical_not(tf.math.is_finite(norm)), tf.float32)
    total = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, overflow)
    addend = tf.where(total > 0, float("nan"), 0.0)
    first, *rest = gradients
    return [first + tf.cast(addend, first.dtype), *rest]
