"""Gradients of a replica: accumulated over parts of its batch, scaled where half precision needs it, applied."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence

import tensorflow as tf

from sagan_tf.keras_backend import keras

Metrics = dict[str, tf.Tensor]
LossOfPart = Callable[..., tuple[tf.Tensor, Metrics]]


def accumulate_gradients(
    loss_of: LossOfPart,
    variables: Sequence[keras.Variable],
    optimizer: keras.optimizers.Optimizer,
    batch: Sequence[tf.Tensor],
    num_parts: int,
) -> tuple[list[tf.Tensor], Metrics]:
    """Gradients of the mean loss over a batch that is worked through in equal parts.

    All parts but the last run inside an empty `StatelessScope`: so they start from the same `u`, sigma is one number in
    the whole update, and `u` and the moving statistics move once.

    Args:
        loss_of: takes the tensors of a part; returns its mean loss and metrics (scalars).
        variables: what to differentiate by.
        optimizer: knows the loss scale.
        batch: tensors with one first dimension, divisible by `num_parts`.
        num_parts: how many parts.

    Returns:
        Gradients, still times the loss scale and divided by the number of replicas (the optimizer sums over replicas),
        and the metrics, means over the parts.
    """
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    raw_variables = [variable.value for variable in variables]
    gradients: list[tf.Tensor] = []
    metrics: list[Metrics] = []
    for index, part in enumerate(zip(*(split_batch(tensor, num_parts) for tensor in batch), strict=True)):
        last = index == num_parts - 1
        # A part waits for the one before, or all of them would be in memory at once.
        with tf.control_dependencies(gradients), contextlib.nullcontext() if last else keras.StatelessScope():
            inputs = [tf.identity(tensor) for tensor in part]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(raw_variables)
                loss, part_metrics = loss_of(*inputs)
                scaled = optimizer.scale_loss(loss / (num_parts * replicas))
            # Dense: the rows of a table that a batch didn't use have gradient 0, and Adam's moments decay for them.
            part_gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(scaled, raw_variables)]
        pairs = zip(gradients, part_gradients, strict=True)
        gradients = [total + gradient for total, gradient in pairs] if gradients else part_gradients
        metrics.append(part_metrics)
    return gradients, {name: tf.add_n([part[name] for part in metrics]) / num_parts for name in metrics[0]}


def split_batch(tensor: tf.Tensor, num_parts: int) -> list[tf.Tensor]:
    """Cut a batch into equal parts.

    Args:
        tensor: Its first dimension is known and divisible by `num_parts`.
        num_parts: How many parts.
    """
    if not tensor.dtype.is_integer:
        return tf.split(tensor, num_parts)
    # TensorFlow has no GPU kernel that splits integers: the host would wait for the GPU to hand them over.
    size = tensor.shape[0] // num_parts
    return [tensor[part * size : (part + 1) * size] for part in range(num_parts)]


def apply_gradients(
    optimizer: keras.optimizers.Optimizer, gradients: Sequence[tf.Tensor], variables: Sequence[keras.Variable]
) -> tf.Tensor:
    """Update `variables`; return the norm of this replica's gradient of its own mean loss (float32 scalar).

    Under loss scaling, an update whose gradients are not finite on any replica is skipped on all (the scale is halved),
    and its norm counts as 0.
    """
    replicas = tf.distribute.get_replica_context().num_replicas_in_sync
    norm = tf.linalg.global_norm(gradients) * replicas
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        norm /= tf.convert_to_tensor(optimizer.dynamic_scale)
        gradients = _spread_overflow(gradients, norm)
        norm = tf.where(tf.math.is_finite(norm), norm, 0.0)
    optimizer.apply(list(gradients), list(variables))
    return norm


def _spread_overflow(gradients: Sequence[tf.Tensor], norm: tf.Tensor) -> list[tf.Tensor]:
    """Make one replica's overflow everybody's: Keras' optimizer decides by the first replica's gradients alone."""
    overflow = tf.cast(tf.logical_not(tf.math.is_finite(norm)), tf.float32)
    total = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, overflow)
    poison = tf.where(total > 0, float("nan"), 0.0)
    first, *rest = gradients
    return [first + tf.cast(poison, first.dtype), *rest]
