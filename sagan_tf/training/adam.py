"""Adam with one operation for the update of each variable."""

from __future__ import annotations

import math
from typing import Any

import tensorflow as tf

from sagan_tf.keras_backend import keras


@keras.saving.register_keras_serializable(package="sagan_tf")
class Adam(keras.optimizers.Adam):
    """Adam of Keras with a quarter of the memory traffic.

    Keras composes an update of a dozen operations, each of which reads and writes an array of the variable's size. This
    class uses one operation of TensorFlow per update. If `beta_1` is 0, as for the GANs of this package, the first
    moment is the gradient itself and is not stored. Arguments are those of `keras.optimizers.Adam`, and updates equal
    its updates except for rounding.

    Reference: Kingma & Ba, Adam: A Method for Stochastic Optimization, ICLR 2015.

    Raises:
        ValueError: `amsgrad` is True.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.amsgrad:
            raise ValueError("`amsgrad` must be False. Received: True")

    def build(self, variables: list[keras.Variable]) -> None:
        """Create the optimizer variables."""
        if self.built:
            return
        if self.beta_1:
            super().build(variables)
            return
        keras.optimizers.Optimizer.build(self, variables)
        (self._sums_of_squares,) = self.add_optimizer_variables(variables, ["sum_of_squares"])

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Update one variable and its moments; called by Keras."""
        gradient = tf.cast(gradient, variable.dtype)
        learning_rate = tf.cast(learning_rate, variable.dtype)
        steps = tf.cast(self.iterations + 1, variable.dtype)
        index = self._get_variable_index(variable)
        if self.beta_1:
            self._update_with_moments(gradient, variable, learning_rate, steps, index)
        else:
            self._update_without_first_moment(gradient, variable, learning_rate, steps, index)

    def _update_with_moments(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor, steps: tf.Tensor, index: int
    ) -> None:
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, variable.dtype), steps),
            beta2_power=tf.pow(tf.cast(self.beta_2, variable.dtype), steps),
            lr=learning_rate,
            beta1=tf.cast(self.beta_1, variable.dtype),
            beta2=tf.cast(self.beta_2, variable.dtype),
            epsilon=tf.cast(self.epsilon, variable.dtype),
            grad=gradient,
        )

    def _update_without_first_moment(
        self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor, steps: tf.Tensor, index: int
    ) -> None:
        """Subtract learning_rate * g / (sqrt(v) + epsilon), by the operation of Adagrad.

        Adagrad adds g^2 to a sum s and subtracts rate * g / (sqrt(s) + its epsilon). Adam's v, a decaying mean of g^2,
        is (1 - beta_2) s if s is multiplied by beta_2 first.
        """
        sum_of_squares = self._sums_of_squares[index].value
        sum_of_squares.assign(sum_of_squares * self.beta_2)
        root = math.sqrt(1.0 - self.beta_2)
        bias_correction = tf.sqrt(1.0 - tf.pow(tf.cast(self.beta_2, variable.dtype), steps))
        tf.raw_ops.ResourceApplyAdagradV2(
            var=variable.handle,
            accum=sum_of_squares.handle,
            lr=learning_rate * bias_correction / root,
            epsilon=tf.cast(self.epsilon / root, variable.dtype),
            grad=gradient,
        )
