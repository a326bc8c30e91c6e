"""A convolution and the resampling next to it as one layer, computed in the form that costs least.

The trained variable is the 3x3 or 1x1 kernel in every form: checkpoints and spectral normalization do not know of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from sagan_tf.layers import accelerators
from sagan_tf.layers.convolutions import forms as forms
from sagan_tf.layers.convolutions import minimal as minimal
from sagan_tf.layers.convolutions.forms import downsample, upsample

FORMS: dict[str, dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]]] = {
    "none": {**dict.fromkeys(("plain", "strided", "subpixel"), forms.plain_same), **minimal.SAME},
    "up": {"plain": forms.plain_up, "strided": forms.strided_up, "subpixel": forms.subpixel_up, **minimal.UP},
    "down": {
        "plain": forms.plain_pooled,
        **dict.fromkeys(("strided", "subpixel"), forms.strided_pooled),
        **minimal.POOLED,
    },
}
"""The forms of a 3x3 convolution by the resampling next to it. `strided` is always one convolution: without resampling
the plain one. `subpixel` is `strided` but for `up`. A 1x1 convolution has `plain`, and any other name."""
AUTO = ("auto", "auto_tflite")
"""Names for the fastest form, in TensorFlow and in TFLite's interpreter."""

# Of inputs and outputs together; below, the additions of a minimal form take longer than the products that it saves.
# Measured in float32 on two cores, forward and backward, 8 and 16 images, 4 to 128 pixels: from here on it takes 0.4 to
# 1.05 of the time of the next best form.
_LEAST_CHANNELS = {2: dict.fromkeys(FORMS, 384), 4: {"none": 192, "up": 256, "down": 192}}
# Inputs * outputs for each location. Larger tiles have more taps for a kernel: from here on they cost as much as they
# save with many images, and for a single one, where reading taps takes most of the time, more.
_LARGE_KERNEL = 2048
_FIXED = ("strides", "padding", "data_format", "dilation_rate", "groups", "activation")


@keras.saving.register_keras_serializable(package="sagan_tf")
class ResamplingConvolution(keras.layers.Conv2D):
    """A convolution after doubling the size of its input by repetition, or before averaging 2x2 squares of its output.

    Args:
        filters: channels of the output.
        kernel_size: 3 or 1.
        resampling: `up`, `down` or `none`.
        form: `plain` computes what the names say; the other `FORMS` of the resampling compute the same, but for
            rounding, with less arithmetic; `auto` takes the fastest by the size of the feature map and its width, and
            `auto_tflite` that in TFLite. A 1x1 convolution commutes with the resampling: unless the form is `plain`, it
            is done on the smaller side.
        **kwargs: `use_bias`, initializers, regularizers and constraints of `keras.layers.Conv2D`.

    Call arguments:
        inputs: [batch, height, width, channels] float, of known height and width; even ones for `down`. At the larger
            side of the resampling they must be multiples of 2 for `minimal_2` and of 4 for `minimal_4`.

    Returns:
        [batch, height, width, filters], with twice the height and width for `up`, and half of it for `down`.

    Raises:
        ValueError: for an argument out of range, and for a size that is unknown or no multiple of what the form needs.
    """

    def __init__(
        self, filters: int, kernel_size: int = 3, resampling: str = "none", form: str = "auto", **kwargs: Any
    ) -> None:
        if kernel_size not in (1, 3):
            raise ValueError(f"`kernel_size` must be 1 or 3. Received: {kernel_size}")
        if resampling not in FORMS:
            raise ValueError(f"`resampling` must be one of {tuple(FORMS)}. Received: {resampling!r}")
        if form not in (*AUTO, *FORMS[resampling]):
            raise ValueError(f"`form` must be one of {(*AUTO, *FORMS[resampling])}. Received: {form!r}")
        if fixed := [name for name in _FIXED if name in kwargs]:
            raise ValueError(f"`{fixed[0]}` can't be chosen. Received: {kwargs[fixed[0]]!r}")
        super().__init__(filters, kernel_size, padding="same", data_format="channels_last", **kwargs)
        self.resampling = resampling
        self.form = form

    def build(self, input_shape: Any) -> None:
        self._check_size(input_shape)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        self._check_size(inputs.shape)
        # A value that spectral normalization has put in the variable's place is taken as it is, see `kernel_taps`.
        value = self.kernel.value
        kernel = value if isinstance(value, tf.Tensor) else tf.convert_to_tensor(self.kernel)
        if self.kernel_size[0] == 3:
            return self._biased(FORMS[self.resampling][self._chosen_form(inputs)](inputs, kernel))
        plain = self.form == "plain"
        if self.resampling == "up":
            return self._pointwise(upsample(inputs), kernel) if plain else upsample(self._pointwise(inputs, kernel))
        if self.resampling == "down":
            return downsample(self._pointwise(inputs, kernel)) if plain else self._pointwise(downsample(inputs), kernel)
        return self._pointwise(inputs, kernel)

    def compute_output_shape(self, input_shape: Any) -> Any:
        batch, height, width, _ = input_shape
        if self.resampling == "up":
            return (batch, 2 * height, 2 * width, self.filters)
        divisor = 2 if self.resampling == "down" else 1
        return (batch, height // divisor, width // divisor, self.filters)

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        for fixed in _FIXED:
            del config[fixed]
        return {**config, "kernel_size": self.kernel_size[0], "resampling": self.resampling, "form": self.form}

    def _chosen_form(self, inputs: tf.Tensor) -> str:
        if self.form not in AUTO:
            return self.form
        target = "tflite" if self.form == "auto_tflite" else "accelerator" if accelerators.has_accelerator() else "cpu"
        return fastest_form(self.resampling, tuple(inputs.shape[1:]), self.filters, self.compute_dtype, target)

    def _check_size(self, shape: Any) -> None:
        form = FORMS[self.resampling].get(self.form) if self.kernel_size[0] == 3 else None
        default = 2 if self.resampling == "down" else 1
        divisor = form.inputs.side if isinstance(form, minimal.MinimalConvolution) else default
        if any(size is None or size % divisor for size in shape[1:3]):
            multiples = "" if divisor == 1 else f", both multiples of {divisor}"
            raise ValueError(f"Inputs must have a known height and width{multiples}. Received: {tuple(shape[1:3])}")

    def _pointwise(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return self._biased(tf.nn.conv2d(inputs, kernel, 1, "SAME"))

    def _biased(self, outputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias)) if self.use_bias else outputs


def fastest_form(
    resampling: str, inputs: tuple[int, int, int], filters: int, dtype: str = "float32", target: str = "cpu"
) -> str:
    """Return the fastest form of a 3x3 convolution.

    Minimal forms save products, of which there are inputs * outputs for each location, and pay with sums, of which
    there are inputs or outputs: they are for wide layers. Small tiles are for kernels that are large against the
    feature map, for sizes that large tiles don't fit, and for half precision, in which the large tiles' rounding errors
    would be too large. It goes by one image's size and not by the batch's, so that an image is computed in the same way
    in every batch.

    Args:
        resampling: `up`, `down` or `none`.
        inputs: height, width and channels.
        filters: channels of the output.
        dtype: what is computed in.
        target: `cpu` (measured on two cores); `tflite`, its interpreter on the same; or `accelerator`, a GPU or TPU.
            Products are cheap there against memory traffic: it is then the form of fewest products that is a single
            convolution (not measured).
    """
    height, width, channels = inputs
    scale = 2 if resampling == "up" else 1
    sides = scale * height, scale * width
    has_large_kernel = channels * filters >= _LARGE_KERNEL * math.prod(sides)
    for tile in (2,) if has_large_kernel or dtype in ("bfloat16", "float16") else (4, 2):
        is_wide = channels + filters >= _LEAST_CHANNELS[tile][resampling]
        if is_wide and all(side % tile == 0 for side in sides) and target != "accelerator":
            return f"minimal_{tile}"
    if resampling == "none":
        return "plain"
    return "subpixel" if target == "tflite" else "strided"
