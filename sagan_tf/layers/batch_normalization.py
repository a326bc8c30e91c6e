"""Batch normalization with moving statistics that each replica updates from its own batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from sagan_tf.layers.normalization import (
    combine_with_statistics,
    compute_global_moments,
    normalize,
    normalize_by_batch,
    scale_and_offset,
)


@keras.saving.register_keras_serializable(package="sagan_tf")
class BatchNormalization(keras.layers.Layer):
    """Batch normalization per channel: gamma * (x - mean) / sqrt(variance + epsilon) + beta.

    The statistics are those of the batch in training, and moving averages of them at inference. The trained weights
    gamma and beta are stored under the names `gain` and `bias`.

    Why not `keras.layers.BatchNormalization`:

    - Replicas: each replica updates its own copy of the moving statistics; `average_moving_statistics` then makes the
      copies equal for a whole network with a single message.
    - Variance: the moving variance is the population variance, whichever kernel computes it.
    - Conditioning: `ConditionalBatchNormalization` only replaces the source of gamma and beta.

    Args:
        momentum: Momentum of the moving statistics, at least 0 and below 1.
        epsilon: Number added to the variance, above 0.
        synchronized: Whether statistics are taken over the global batch (all replicas) or over each replica's own part.
            If true, all parts must have the same size.

    Call arguments:
        inputs: Float [batch, height, width, channels].
        training: Whether to use the statistics of the batch and to update the moving statistics.

    Returns:
        A tensor of the shape and dtype of the inputs.

    Raises:
        ValueError: If `momentum` or `epsilon` is out of range.

    Reference: Ioffe & Szegedy, Batch Normalization, ICML 2015.
    """

    def __init__(self, momentum: float = 0.9, epsilon: float = 1e-5, synchronized: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if not 0.0 <= momentum < 1.0:
            raise ValueError(f"`momentum` must be at least 0 and below 1. Received: {momentum}")
        if not epsilon > 0.0:
            raise ValueError(f"`epsilon` must be above 0. Received: {epsilon}")
        self.momentum = momentum
        self.epsilon = epsilon
        self.synchronized = synchronized
        self._frozen_values: tuple[tf.Tensor, ...] | None = None
        self._recorded_inputs: list[tf.Tensor] | None = None

    def build(self, input_shape: Any) -> None:
        """Create gamma, beta and the moving statistics."""
        self._build_statistics(input_shape[-1])
        self.gain = self.add_weight(name="gain", shape=(input_shape[-1],), initializer="ones", autocast=False)
        self.bias = self.add_weight(name="bias", shape=(input_shape[-1],), initializer="zeros", autocast=False)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Normalize the inputs."""
        if self._frozen_values is not None and not training:
            return scale_and_offset(inputs, *self._frozen_values)
        return self._normalize(inputs, tf.convert_to_tensor(self.gain), tf.convert_to_tensor(self.bias), training)

    @contextlib.contextmanager
    def freeze_for_inference(self) -> Iterator[None]:
        """Use constants in place of the weights in calls inside this context.

        The constants are gamma and beta combined with the moving statistics, as they are on entry. A function traced
        inside reads two constants in place of four weights. Calls with `training=True` are not affected.
        """
        outer, self._frozen_values = self._frozen_values, self._compute_frozen_values()
        try:
            yield
        finally:
            self._frozen_values = outer

    @contextlib.contextmanager
    def record_inputs(self) -> Iterator[list[tf.Tensor]]:
        """Yield a list that receives the features of each eager call with `training=False` inside this context."""
        outer, self._recorded_inputs = self._recorded_inputs, []
        try:
            yield self._recorded_inputs
        finally:
            self._recorded_inputs = outer

    def read_inference_values(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return the current moving mean, moving variance plus epsilon, gamma and beta."""
        gamma, beta = tf.convert_to_tensor(self.gain), tf.convert_to_tensor(self.bias)
        mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
        return mean, variance + self.epsilon, gamma, beta

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "synchronized": self.synchronized,
        }

    def _compute_frozen_values(self) -> tuple[tf.Tensor, ...]:
        """Return the tensors that frozen calls use in place of the weights."""
        return combine_with_statistics(*self.read_inference_values())

    def _build_statistics(self, channels: int) -> None:
        for name, initializer in (("moving_mean", "zeros"), ("moving_variance", "ones")):
            weight = self.add_weight(
                name=name,
                shape=(channels,),
                initializer=initializer,
                trainable=False,
                autocast=False,
                aggregation="none",
            )
            setattr(self, name, weight)

    def _normalize(self, inputs: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, training: bool) -> tf.Tensor:
        """Normalize with gamma and beta of shape [channels] or [batch, channels]."""
        if not training:
            if self._recorded_inputs is not None:
                self._recorded_inputs.append(inputs)
            mean, variance = tf.convert_to_tensor(self.moving_mean), tf.convert_to_tensor(self.moving_variance)
            return normalize(inputs, mean, variance + self.epsilon, gamma, beta)
        if self.synchronized:
            mean, variance = compute_global_moments(inputs, tf.convert_to_tensor(self.moving_mean))
            self._update_moving_statistics(tf.stop_gradient(mean), tf.stop_gradient(variance))
            return normalize(inputs, mean, variance + self.epsilon, gamma, beta)
        outputs, mean, variance = normalize_by_batch(inputs, gamma, beta, self.epsilon)
        self._update_moving_statistics(mean, variance)
        return outputs

    def _update_moving_statistics(self, mean: tf.Tensor, variance: tf.Tensor) -> None:
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            old = tf.convert_to_tensor(moving)
            moving.assign(old + (1.0 - self.momentum) * (batch - old))
