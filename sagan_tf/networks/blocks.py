"""Base classes of the blocks of all architectures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from sagan_tf.config import ModelConfig
from sagan_tf.layers.batch_normalization import BatchNormalization
from sagan_tf.layers.conditional_batch_normalization import ConditionalBatchNormalization
from sagan_tf.layers.convolutions.resampling import ResamplingConvolution
from sagan_tf.layers.latent_batch_normalization import LatentBatchNormalization
from sagan_tf.layers.spectral_normalization import apply_spectral_normalization


class Block(keras.layers.Layer):
    """Base class of blocks: the number of output channels and the options of convolutions.

    Args:
        filters: Number of output channels.
        spectral_norm: Options of `SpectralNormalization` for the convolutions; None turns it off.
        kernel_initializer: Initializer of the convolutions.
        convolution_form: See `form` of `layers.ResamplingConvolution`.
    """

    def __init__(
        self,
        filters: int,
        spectral_norm: Mapping[str, Any] | None = None,
        kernel_initializer: str = "glorot_uniform",
        convolution_form: str = "auto",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.spectral_norm = None if spectral_norm is None else dict(spectral_norm)
        self.kernel_initializer = kernel_initializer
        self.convolution_form = convolution_form

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "spectral_norm": self.spectral_norm,
            "kernel_initializer": self.kernel_initializer,
            "convolution_form": self.convolution_form,
        }

    def _create_convolution(
        self,
        filters: int,
        size: int | tuple[int, int],
        name: str,
        layer: type[keras.layers.Layer] = keras.layers.Conv2D,
        **options: Any,
    ) -> keras.layers.Layer:
        options |= {"padding": "same", "data_format": "channels_last"}
        return self._create_normalized(layer, filters, size, name=name, **options)

    def _create_resampling_convolution(
        self, size: int, name: str, resampling: str = "none", filters: int = 0
    ) -> keras.layers.Layer:
        form = {"resampling": resampling, "form": self.convolution_form}
        return self._create_normalized(ResamplingConvolution, filters or self.filters, size, name=name, **form)

    def _create_normalized(self, layer: type[keras.layers.Layer], *args: Any, **options: Any) -> keras.layers.Layer:
        convolution = layer(*args, kernel_initializer=self.kernel_initializer, dtype=self.dtype_policy, **options)
        return apply_spectral_normalization(convolution, self.spectral_norm)


class ConditionedBlock(Block):
    """Base class of generator blocks, which double the height and width of the feature map.

    Args:
        filters: As for `Block`, as are the arguments that are not listed here.
        num_classes: Number of rows of the batch normalization tables; 0 for unconditional batch normalization.
        batch_norm: Options of the batch normalization.
        takes_latents: Whether the batch normalization also depends on latents, see `LatentBatchNormalization`.

    Call arguments:
        inputs: Features, float [batch, height, width, channels]; labels, int32 [batch]; and, if `takes_latents` is
            true, latents, float [batch, latent size].

    Returns:
        [batch, 2 * height, 2 * width, filters].
    """

    def __init__(
        self,
        filters: int,
        num_classes: int = 0,
        batch_norm: Mapping[str, Any] | None = None,
        takes_latents: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(filters, **kwargs)
        self.num_classes = num_classes
        self.batch_norm = dict(batch_norm or {})
        self.takes_latents = takes_latents

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the outputs."""
        batch, height, width, _ = input_shape[0]
        return (batch, 2 * height, 2 * width, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "batch_norm": self.batch_norm,
            "takes_latents": self.takes_latents,
        }

    def _build_normalization(self, name: str, features: Any, conditions: Sequence[Any]) -> keras.layers.Layer:
        """Create and build a batch normalization layer.

        Args:
            name: Name of the layer.
            features: Shape of the features.
            conditions: Shapes of the labels and, if used, the latents.
        """
        layer = self._create_normalization({**self.batch_norm, "dtype": self.dtype_policy, "name": name})
        layer.build((features, *conditions) if self._is_conditional else features)
        return layer

    def _create_normalization(self, options: dict[str, Any]) -> keras.layers.Layer:
        if self.takes_latents:
            # Without classes, all images belong to one class.
            maps: dict[str, Any] = {"spectral_norm": self.spectral_norm, "kernel_initializer": self.kernel_initializer}
            return LatentBatchNormalization(max(self.num_classes, 1), **maps, **options)
        if self.num_classes:
            return ConditionalBatchNormalization(self.num_classes, **options)
        return BatchNormalization(**options)

    def _normalize_and_activate(
        self, layer: keras.layers.Layer, features: tf.Tensor, conditions: Sequence[tf.Tensor], training: bool
    ) -> tf.Tensor:
        labels, *latents = conditions
        if not self.num_classes:
            labels = tf.zeros_like(labels)
        inputs = (features, labels, *latents) if self._is_conditional else features
        return tf.nn.relu(layer(inputs, training=training))

    @property
    def _is_conditional(self) -> bool:
        return self.takes_latents or self.num_classes > 0


def get_spectral_norm_options(config: ModelConfig) -> dict[str, Any]:
    """Return the arguments of `SpectralNormalization` for a model."""
    return {
        "power_iterations": config.spectral_norm_power_iterations,
        "epsilon": config.spectral_norm_epsilon,
        "constraint": config.spectral_norm_constraint,
    }
