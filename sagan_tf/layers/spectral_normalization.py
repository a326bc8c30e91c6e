"""Spectral normalization as a layer wrapper that does not overwrite the kernel.

Reference: Miyato et al., Spectral Normalization for Generative Adversarial Networks, ICLR 2018.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from sagan_tf.layers.accelerators import can_compile_for_gpu
from sagan_tf.layers.power_iteration import (
    estimate_bounded_sigma,
    estimate_bounded_sigma_compiled,
    estimate_sigma,
    find_unit_sigma_vector,
)

CONSTRAINTS = ("equal", "at_most")
_TYPICAL_BATCH_SIZE = 16
_SUPPORTED_LAYERS = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.Dense, keras.layers.Embedding)


@keras.saving.register_keras_serializable(package="sagan_tf")
class SpectralNormalization(keras.layers.Wrapper):
    """Wrapper that calls a layer with its kernel W divided by the largest singular value sigma.

    The raw kernel stays the trained variable and sigma is a function of it, so gradients flow through sigma, and
    <W, dL/dW> = 0 under the constraint `equal`. (Keras' own wrapper assigns the normalized kernel back, which loses the
    raw kernel and hides sigma from the gradient.) sigma is estimated by power iteration from a persistent
    vector `u`; no gradient flows through `u` and `v`. Each call with `training=True` updates `u` once. Inside an empty
    `keras.StatelessScope()` `u` does not change; one network is called in this way for the update of the other.

    W is reshaped to a matrix [all other axes, output channels] (an embedding table is transposed first), and `u` has as
    many elements as the matrix has rows, as in TF-GAN. (In Miyato et al. and in the authors' code it has one for each
    output channel.) sigma is always computed in float32.

    Args:
        layer: A Conv2D, Conv2DTranspose, Dense or Embedding layer; its first weight is normalized.
        power_iterations: Number of power iterations of an estimate, at least 1.
        epsilon: Smallest norm that a vector is divided by, above 0.
        constraint: `equal` divides by sigma; `at_most` divides by max(1, sigma), which does not change small kernels.

    Call arguments:
        inputs: Inputs of `layer`.
        training: Whether to update `u`. It is never updated if the layer is not `trainable`.

    Returns:
        The outputs of `layer`.

    Raises:
        ValueError: If an argument is out of range or the layer is not supported.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        power_iterations: int = 1,
        epsilon: float = 1e-8,
        constraint: str = "equal",
        **kwargs: Any,
    ) -> None:
        if not isinstance(layer, _SUPPORTED_LAYERS):
            names = ", ".join(kind.__name__ for kind in _SUPPORTED_LAYERS)
            raise ValueError(f"`layer` must be one of {names}. Received: {type(layer).__name__}")
        if power_iterations < 1:
            raise ValueError(f"`power_iterations` must be at least 1. Received: {power_iterations}")
        if not epsilon > 0:
            raise ValueError(f"`epsilon` must be above 0. Received: {epsilon}")
        if constraint not in CONSTRAINTS:
            raise ValueError(f"`constraint` must be one of {CONSTRAINTS}. Received: {constraint!r}")
        kwargs.setdefault("name", layer.name)
        # float32 without autocast: the wrapper computes sigma in float32 and does not cast its inputs. The wrapped
        # layer keeps its own (possibly mixed) precision.
        kwargs["dtype"] = "float32"
        super().__init__(layer, autocast=False, **kwargs)
        self.power_iterations = power_iterations
        self.epsilon = epsilon
        self.constraint = constraint
        self._frozen_kernel: tf.Tensor | None = None

    def build(self, input_shape: Any = None) -> None:
        """Build the wrapped layer and create `u`."""
        super().build(input_shape)
        rows = self._compute_matrix_shape()[0]
        # Every replica computes the new value from the same W and u and assigns its own copy, without communication.
        self.u = self.add_weight(
            name="u",
            shape=(rows, 1),
            initializer="random_normal",
            dtype="float32",
            trainable=False,
            aggregation="none",
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        """Call the wrapped layer with the divided kernel."""
        if self._frozen_kernel is not None:
            # A stateless scope hides an outer one, so the current values of the layer's other weights are passed on.
            other_weights = [(weight, tf.convert_to_tensor(weight)) for weight in self.layer.weights[1:]]
            return self._call_with_kernel(self._frozen_kernel, inputs, other_weights)
        # Compile only in training: a graph for inference may be moved to a machine without a compiler.
        compiled = training and can_compile_for_gpu()
        estimate = estimate_bounded_sigma_compiled if compiled else estimate_bounded_sigma
        divisor, u = self._estimate_sigma(estimate, self._min_divisor)
        if training and self.trainable:
            self.u.assign(u)
        # In half precision the kernel is always divided, before it is rounded, and quotients of it cannot overflow.
        in_float32 = self.layer.compute_dtype == "float32"
        if in_float32 and isinstance(self.layer, keras.layers.Embedding):
            return _divide(self.layer(inputs), divisor)
        if in_float32 and self._is_kernel_larger_than(inputs):
            return self.layer(_divide(tf.cast(inputs, tf.float32), divisor))
        # Wait for the inputs. Otherwise a compiled network would compute all of its kernels at the start.
        with tf.control_dependencies([inputs]):
            kernel = _divide(tf.convert_to_tensor(self._kernel), divisor)
        return self._call_with_kernel(kernel, inputs)

    @contextlib.contextmanager
    def freeze_for_inference(self) -> Iterator[None]:
        """Use the current kernel divided by its sigma in calls inside this context.

        A function traced inside has the divided kernel as a constant, and no power iteration.
        """
        outer, self._frozen_kernel = self._frozen_kernel, self.compute_divided_kernel()
        try:
            yield
        finally:
            self._frozen_kernel = outer

    def sigma(self) -> tf.Tensor:
        """Return the estimate of sigma that the next call will use, a float32 scalar."""
        return self._estimate_sigma(estimate_sigma)[0]

    def compute_divided_kernel(self) -> tf.Tensor:
        """Return the kernel that the next call will use, divided by its sigma."""
        divisor, _ = self._estimate_sigma(estimate_bounded_sigma, self._min_divisor)
        return tf.convert_to_tensor(self._kernel) / divisor

    def assign_unit_sigma(self) -> None:
        """Assign a `u` with which the kernel, already divided by an estimate of its sigma, is divided by 1."""
        w = self._reshape_to_matrix(tf.convert_to_tensor(self._kernel)).numpy()
        self.u.assign(find_unit_sigma_vector(w, self.power_iterations))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the output shape of the wrapped layer."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "power_iterations": self.power_iterations,
            "epsilon": self.epsilon,
            "constraint": self.constraint,
        }

    def _call_with_kernel(
        self, kernel: tf.Tensor, inputs: Any, other_weights: Sequence[tuple[Any, tf.Tensor]] = ()
    ) -> Any:
        scope = keras.StatelessScope()
        for update in ((self._kernel, kernel), *other_weights):
            # Not as an argument of the scope, which would round the values to Keras' default dtype.
            scope.add_update(update)
        with scope:
            return self.layer(inputs)

    @property
    def _min_divisor(self) -> float:
        """Smallest number that the kernel is divided by."""
        return self.epsilon if self.constraint == "equal" else 1.0

    @property
    def _kernel(self) -> keras.Variable:
        return self.layer.weights[0]

    def _estimate_sigma(self, estimate: Callable[..., tuple[tf.Tensor, tf.Tensor]], *options: float) -> Any:
        """Call a function of `power_iteration` with the kernel and the current u."""
        w, u = self._reshape_to_matrix(tf.convert_to_tensor(self._kernel)), tf.convert_to_tensor(self.u)
        return estimate(w, u, self.power_iterations, self.epsilon, *options)

    def _is_kernel_larger_than(self, inputs: tf.Tensor) -> bool:
        """Return whether the kernel is larger than a typical batch of inputs.

        If so, the inputs are divided by sigma instead of the kernel, with the same result. The decision depends on the
        size of one example and not on the batch size, so that the result of an example is the same in every batch.
        """
        sizes = inputs.shape[1:]
        return sizes.is_fully_defined() and _TYPICAL_BATCH_SIZE * math.prod(sizes) < math.prod(self._kernel.shape)

    def _compute_matrix_shape(self) -> tuple[int, int]:
        *rest, last = self._kernel.shape
        if isinstance(self.layer, keras.layers.Embedding):
            return last, rest[0]
        columns = rest[-1] if isinstance(self.layer, keras.layers.Conv2DTranspose) else last
        return math.prod(self._kernel.shape) // columns, columns

    def _reshape_to_matrix(self, kernel: tf.Tensor) -> tf.Tensor:
        if isinstance(self.layer, keras.layers.Embedding):
            return tf.transpose(kernel)
        if isinstance(self.layer, keras.layers.Conv2DTranspose):
            # The kernel of a transposed convolution is [height, width, output, input].
            kernel = tf.transpose(kernel, [0, 1, 3, 2])
        return tf.reshape(kernel, self._compute_matrix_shape())


@tf.custom_gradient
def _divide(x: tf.Tensor, divisor: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tuple[tf.Tensor, tf.Tensor]]]:
    """Compute x / divisor for a scalar divisor, both float32.

    The written-out gradient reads x half as often as the one that TensorFlow derives.
    """
    quotient = x / divisor

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return upstream / divisor, -tf.reduce_sum(upstream * quotient) / divisor

    return quotient, gradient


def apply_spectral_normalization(layer: keras.layers.Layer, options: Mapping[str, Any] | None) -> keras.layers.Layer:
    """Wrap a layer in `SpectralNormalization`.

    Args:
        layer: The layer to wrap.
        options: Keyword arguments of `SpectralNormalization`; None leaves the layer unchanged.

    Returns:
        The wrapper, or `layer` itself if `options` is None.
    """
    return layer if options is None else SpectralNormalization(layer, **options)
