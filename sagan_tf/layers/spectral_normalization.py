"""Spectral normalization as a wrapper that never overwrites the kernel it normalizes.

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
from sagan_tf.layers.power_iteration import bounded_sigma, bounded_sigma_compiled, estimate_sigma

CONSTRAINTS = ("equal", "at_most")
_TYPICAL_BATCH = 16
_SUPPORTED = (keras.layers.Conv2D, keras.layers.Conv2DTranspose, keras.layers.Dense, keras.layers.Embedding)


@keras.saving.register_keras_serializable(package="sagan_tf")
class SpectralNormalization(keras.layers.Wrapper):
    """Calls a layer with its kernel W divided by its largest singular value sigma.

    The raw kernel stays the trained variable and sigma is a function of it, so gradients flow through sigma and
    <W, dL/dW> = 0 under the constraint `equal`. (Keras' own wrapper assigns the normalised kernel back, which loses the
    raw one and hides sigma from the gradient.) sigma is estimated by power iteration from a persistent vector `u`;
    no gradient flows through `u` and `v`. `u` moves once in each call with `training=True`. Inside an empty
    `keras.StatelessScope()` it stays: that is how one network is called for the update of the other.

    W is read as a matrix of [everything else, output channels] (an embedding table is transposed first), and `u` lives
    on its rows. sigma is always computed in float32.

    Args:
        layer: a Conv2D, Conv2DTranspose, Dense or Embedding layer; its first weight is normalised.
        power_iterations: iterations for an estimate, at least 1.
        epsilon: smallest norm divided by, above 0.
        constraint: `equal` divides by sigma; `at_most` by max(1, sigma), which leaves small kernels alone.

    Call arguments:
        inputs: whatever `layer` takes.
        training: whether `u` moves.

    Returns:
        What `layer` returns.

    Raises:
        ValueError: for an argument out of range.
    """

    def __init__(
        self,
        layer: keras.layers.Layer,
        power_iterations: int = 1,
        epsilon: float = 1e-8,
        constraint: str = "equal",
        **kwargs: Any,
    ) -> None:
        if not isinstance(layer, _SUPPORTED):
            names = ", ".join(kind.__name__ for kind in _SUPPORTED)
            raise ValueError(f"`layer` must be one of {names}. Received: {type(layer).__name__}")
        if power_iterations < 1:
            raise ValueError(f"`power_iterations` must be at least 1. Received: {power_iterations}")
        if not epsilon > 0:
            raise ValueError(f"`epsilon` must be above 0. Received: {epsilon}")
        if constraint not in CONSTRAINTS:
            raise ValueError(f"`constraint` must be one of {CONSTRAINTS}. Received: {constraint!r}")
        kwargs.setdefault("name", layer.name)
        # float32 without autocast: the wrapper computes sigma in float32 and hands inputs on as they are, while the
        # wrapped layer keeps its own (perhaps mixed) precision.
        kwargs["dtype"] = "float32"
        super().__init__(layer, autocast=False, **kwargs)
        self.power_iterations = power_iterations
        self.epsilon = epsilon
        self.constraint = constraint
        self._folded: tf.Tensor | None = None

    def build(self, input_shape: Any = None) -> None:
        super().build(input_shape)
        rows = self._matrix_shape()[0]
        # Every replica computes the new value from the same W and u, and assigns its own: nothing is sent.
        self.u = self.add_weight(
            name="u",
            shape=(rows, 1),
            initializer="random_normal",
            dtype="float32",
            trainable=False,
            aggregation="none",
        )

    def call(self, inputs: Any, training: bool = False) -> Any:
        if self._folded is not None:
            # A stateless scope hides an outer one: the layer's other weights are handed on.
            others = [(weight, tf.convert_to_tensor(weight)) for weight in self.layer.weights[1:]]
            return self._call_with(self._folded, inputs, others)
        # Only where it trains: a graph for inference may go to a machine that compiles nothing.
        compiled = training and can_compile_for_gpu()
        divisor, u = self._estimate(bounded_sigma_compiled if compiled else bounded_sigma, self._minimum)
        if training:
            self.u.assign(u)
        # In half precision it is always the kernel: it is divided before it is rounded, and quotients can't overflow.
        in_float32 = self.layer.compute_dtype == "float32"
        if in_float32 and isinstance(self.layer, keras.layers.Embedding):
            return _divided(self.layer(inputs), divisor)
        if in_float32 and self._is_larger_than(inputs):
            return self.layer(_divided(tf.cast(inputs, tf.float32), divisor))
        # Not before the inputs are there, or a compiled network would begin by making all its kernels at once.
        with tf.control_dependencies([inputs]):
            kernel = _divided(tf.convert_to_tensor(self._kernel), divisor)
        return self._call_with(kernel, inputs)

    @contextlib.contextmanager
    def folded(self) -> Iterator[None]:
        """A context in which calls use the kernel as it is now, divided by its sigma: for inference only.

        A function that is traced inside has the divided kernel as a constant, and no power iteration.
        """
        divisor, _ = self._estimate(bounded_sigma, self._minimum)
        outer, self._folded = self._folded, tf.convert_to_tensor(self._kernel) / divisor
        try:
            yield
        finally:
            self._folded = outer

    def sigma(self) -> tf.Tensor:
        """Return the estimate of the kernel's largest singular value that the next call uses: float32 scalar."""
        return self._estimate(estimate_sigma)[0]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "power_iterations": self.power_iterations,
            "epsilon": self.epsilon,
            "constraint": self.constraint,
        }

    def _call_with(self, kernel: tf.Tensor, inputs: Any, others: Sequence[tuple[Any, tf.Tensor]] = ()) -> Any:
        scope = keras.StatelessScope()
        for update in ((self._kernel, kernel), *others):
            # Not as an argument of the scope, which would round the values to Keras' default dtype.
            scope.add_update(update)
        with scope:
            return self.layer(inputs)

    @property
    def _minimum(self) -> float:
        """The smallest number that the kernel is divided by."""
        return self.epsilon if self.constraint == "equal" else 1.0

    @property
    def _kernel(self) -> keras.Variable:
        return self.layer.weights[0]

    def _estimate(self, estimate: Callable[..., tuple[tf.Tensor, tf.Tensor]], *options: float) -> Any:
        """Return what a function of `power_iteration` estimates of the kernel, from the present u on."""
        w, u = self._as_matrix(tf.convert_to_tensor(self._kernel)), tf.convert_to_tensor(self.u)
        return estimate(w, u, self.power_iterations, self.epsilon, *options)

    def _is_larger_than(self, inputs: tf.Tensor) -> bool:
        """Whether the kernel is larger than a batch of inputs: then it is they that are divided, with the same result.

        It goes by one example's size and not by the batch's, so that an example's result is the same in every batch.
        """
        sizes = inputs.shape[1:]
        return sizes.is_fully_defined() and _TYPICAL_BATCH * math.prod(sizes) < math.prod(self._kernel.shape)

    def _matrix_shape(self) -> tuple[int, int]:
        *rest, last = self._kernel.shape
        if isinstance(self.layer, keras.layers.Embedding):
            return last, rest[0]
        columns = rest[-1] if isinstance(self.layer, keras.layers.Conv2DTranspose) else last
        return math.prod(self._kernel.shape) // columns, columns

    def _as_matrix(self, kernel: tf.Tensor) -> tf.Tensor:
        if isinstance(self.layer, keras.layers.Embedding):
            return tf.transpose(kernel)
        if isinstance(self.layer, keras.layers.Conv2DTranspose):
            kernel = tf.transpose(kernel, [0, 1, 3, 2])  # its kernel is [height, width, output, input]
        return tf.reshape(kernel, self._matrix_shape())


@tf.custom_gradient
def _divided(x: tf.Tensor, divisor: tf.Tensor) -> tuple[tf.Tensor, Callable[..., tuple[tf.Tensor, tf.Tensor]]]:
    """X / divisor (a scalar), both float32; the gradient reads x half as often as the derived one."""
    quotient = x / divisor

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return upstream / divisor, -tf.reduce_sum(upstream * quotient) / divisor

    return quotient, gradient


def spectrally_normalized(layer: keras.layers.Layer, options: Mapping[str, Any] | None) -> keras.layers.Layer:
    """Wrap `layer` in `SpectralNormalization(**options)`; return it as it is when `options` is None."""
    return layer if options is None else SpectralNormalization(layer, **options)
