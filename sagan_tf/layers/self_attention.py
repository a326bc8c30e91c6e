"""Self-attention over the locations of a feature map.

Reference: Zhang et al., Self-Attention Generative Adversarial Networks, ICML 2019, section 3.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from sagan_tf.layers.attention_forms import ATTENTION_FORMS
from sagan_tf.layers.blockwise_attention import blockwise_attention, is_blockwise
from sagan_tf.layers.dense_attention import compute_attention_map, dense_attention
from sagan_tf.layers.spectral_normalization import apply_spectral_normalization


@keras.saving.register_keras_serializable(package="sagan_tf")
class SelfAttention2D(keras.layers.Layer):
    """Self-attention over locations: y = gamma * o + x.

    o_j gathers values from all locations i that location j attends to. In the notation of the paper, f, g and h are
    `query`, `key` and `value`, beta is `attention_map` and W_v is `output`. gamma starts at 0, so a new layer is the
    identity. The logits have no 1/sqrt(d) scale, and the 1x1 convolutions have no biases.

    Forms for inputs with C channels (`attention_forms.ATTENTION_FORMS`):

    | form     | query, key channels | value channels              | keys and values       |
    |----------|---------------------|-----------------------------|-----------------------|
    | `pooled` | C/8                 | C/2, then 1x1 back to C     | 2x2 max-pooled        |
    | `paper`  | C/8                 | C/8, then 1x1 back to C     | at full resolution    |
    | `full`   | C/8                 | C, no output convolution    | at full resolution    |

    Args:
        form: `pooled` (the official code), `paper` (the paper's equations) or `full` (values of full width).
        spectral_norm: Options of `SpectralNormalization` for the 1x1 convolutions; None turns it off.
        kernel_initializer: Initializer of the 1x1 convolutions.
        blockwise: Whether to compute attention in blocks of queries, so that memory grows linearly with the number of
            locations instead of quadratically. None does so for large maps (`is_blockwise`). A call that returns the
            map is never computed in blocks; its outputs and map can be differentiated twice. A call in blocks has no
            second derivative (`LookupError`).

    Call arguments:
        inputs: Float [batch, height, width, channels]; at least 2 by 2 for `pooled`.
        return_attention_map: Whether to return the attention map too.
        training: Passed on to spectral normalization.

    Returns:
        A tensor of the shape and dtype of the inputs. With `return_attention_map`, a pair of this tensor and a float32
        tensor [batch, height, width, key_height, key_width] whose last two axes sum to 1.

    Raises:
        ValueError: If the form is unknown, or the size of the inputs is unknown or too small.
    """

    def __init__(
        self,
        form: str = "pooled",
        spectral_norm: Mapping[str, Any] | None = None,
        kernel_initializer: str = "glorot_uniform",
        blockwise: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if form not in ATTENTION_FORMS:
            raise ValueError(f"`form` must be one of {tuple(ATTENTION_FORMS)}. Received: {form!r}")
        self.form = form
        self._widths = ATTENTION_FORMS[form]
        self.spectral_norm = None if spectral_norm is None else dict(spectral_norm)
        self.kernel_initializer = kernel_initializer
        self.blockwise = blockwise

    def build(self, input_shape: Any) -> None:
        """Create the 1x1 convolutions and gamma."""
        _, height, width, channels = input_shape
        minimum = self._widths.key_stride
        if not all(isinstance(size, int) and size >= minimum for size in (height, width)):
            raise ValueError(
                f"Inputs must have a known size of at least {minimum}x{minimum}. Received: {height}x{width}"
            )
        query_channels = self._widths.count_query_channels(channels)
        value_channels = self._widths.count_value_channels(channels)
        self.query = self._create_convolution(query_channels, "query")
        self.key = self._create_convolution(query_channels, "key")
        self.value = self._create_convolution(value_channels, "value")
        for convolution in (self.query, self.key, self.value):
            convolution.build(input_shape)
        self.output_convolution = None
        if self._widths.has_output:
            self.output_convolution = self._create_convolution(channels, "output")
            self.output_convolution.build((*input_shape[:-1], value_channels))
        self.gamma = self.add_weight(name="gamma", shape=(), initializer="zeros")

    def call(
        self, inputs: tf.Tensor, return_attention_map: bool = False, training: bool = False
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """Add what each location gathers from all locations to the inputs."""
        query = self.query(inputs, training=training)
        key = self._pool(self.key(inputs, training=training))
        value = self._pool(self.value(inputs, training=training))
        operands = _flatten_locations(query), _flatten_locations(key), _flatten_locations(value)
        if self._is_blockwise(query.shape, key.shape) and not return_attention_map:
            gathered = blockwise_attention(*operands)
        else:
            gathered, attention = dense_attention(*operands)
        gathered = tf.reshape(gathered, [-1, *inputs.shape[1:3], value.shape[-1]])
        if self.output_convolution is not None:
            gathered = self.output_convolution(gathered, training=training)
        outputs = inputs + tf.cast(self.gamma, inputs.dtype) * gathered
        if return_attention_map:
            attention = tf.cast(attention, tf.float32)
            return outputs, tf.reshape(attention, [-1, *inputs.shape[1:3], *key.shape[1:3]])
        return outputs

    def compute_attention_rows(self, inputs: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
        """Compute attention maps of single locations at inference.

        Only the requested rows of the attention map are computed.

        Args:
            inputs: As for the call.
            queries: int32 [batch, n, 2], row and column of each location.

        Returns:
            float32 [batch, n, key_height, key_width] whose last two axes sum to 1.

        Raises:
            tf.errors.InvalidArgumentError: If a query lies outside the feature map.
        """
        size = tf.constant(tuple(inputs.shape[1:3]), tf.int32)
        with tf.control_dependencies(
            [
                tf.debugging.assert_non_negative(queries, "queries must be at least 0"),
                tf.debugging.assert_less(queries, size, "queries must lie in the feature map"),
            ]
        ):
            indices = queries[..., 0] * size[1] + queries[..., 1]
        query = _flatten_locations(self.query(inputs))
        key = self._pool(self.key(inputs))
        rows = compute_attention_map(tf.gather(query, indices, batch_dims=1), _flatten_locations(key))
        return tf.reshape(tf.cast(rows, tf.float32), [-1, tf.shape(queries)[1], *key.shape[1:3]])

    def compute_key_size(self, size: int) -> int:
        """Return the height or width of the keys, and of an attention map.

        Args:
            size: Height or width of the inputs.
        """
        return self._widths.compute_key_size(size)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the inputs."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "form": self.form,
            "spectral_norm": self.spectral_norm,
            "kernel_initializer": self.kernel_initializer,
            "blockwise": self.blockwise,
        }

    def _create_convolution(self, filters: int, name: str) -> keras.layers.Layer:
        layer = keras.layers.Conv2D(
            filters,
            1,
            use_bias=False,
            kernel_initializer=self.kernel_initializer,
            data_format="channels_last",
            dtype=self.dtype_policy,
            name=name,
        )
        return apply_spectral_normalization(layer, self.spectral_norm)

    def _is_blockwise(self, query_shape: tf.TensorShape, key_shape: tf.TensorShape) -> bool:
        if self.blockwise is not None:
            return self.blockwise
        return is_blockwise(query_shape[0], math.prod(query_shape[1:3]), math.prod(key_shape[1:3]))

    def _pool(self, features: tf.Tensor) -> tf.Tensor:
        stride = self._widths.key_stride
        return features if stride == 1 else tf.nn.max_pool2d(features, stride, stride, "VALID")


def _flatten_locations(features: tf.Tensor) -> tf.Tensor:
    """Reshape [batch, height, width, channels] to [batch, height * width, channels]."""
    _, height, width, channels = features.shape
    return tf.reshape(features, [-1, height * width, channels])
