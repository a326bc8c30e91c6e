"""A convolution and the resampling before or after it as one layer, computed in the form that costs least.

The trained variable is the 3x3 or 1x1 kernel in every form. Checkpoints and spectral normalization therefore do not
depend on the form.
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
    "none": {**dict.fromkeys(("plain", "strided", "subpixel"), forms.convolve), **minimal.SAME_SIZE_FORMS},
    "up": {
        "plain": forms.upsample_and_convolve,
        "strided": forms.upsample_and_convolve_strided,
        "subpixel": forms.upsample_and_convolve_subpixel,
        **minimal.UPSAMPLING_FORMS,
    },
    "down": {
        "plain": forms.convolve_and_downsample,
        **dict.fromkeys(("strided", "subpixel"), forms.convolve_and_downsample_strided),
        **minimal.DOWNSAMPLING_FORMS,
    },
}
"""Resampling -> name -> form of a 3x3 convolution. `strided` is always a single convolution, so without resampling it
is the plain form. `subpixel` differs from `strided` only for `up`. A 1x1 convolution has one form under all names
except `plain`."""
AUTO_FORMS = ("auto", "auto_tflite")
"""Names that select the fastest form, in TensorFlow and in the TFLite interpreter."""

# Number of input and output channels together, by tile size and resampling. Below it, the additions of a minimal form
# take longer than the multiplications that it saves. Measured in float32 on two CPU cores, forward and backward, with 8
# and 16 images of 4 to 128 pixels: from here on a minimal form takes 0.4 to 1.05 of the time of the next best form.
_MIN_CHANNELS = {2: dict.fromkeys(FORMS, 384), 4: {"none": 192, "up": 256, "down": 192}}
# Input channels * output channels per location. Larger tiles need more taps for a kernel. From here on the taps cost as
# much as the tiles save for many images, and more for a single image, where most of the time is spent reading taps.
_MIN_LARGE_KERNEL = 2048
_FIXED_OPTIONS = ("strides", "padding", "data_format", "dilation_rate", "groups", "activation")


@keras.saving.register_keras_serializable(package="sagan_tf")
class ResamplingConvolution(keras.layers.Conv2D):
    """A convolution after 2x upsampling by repetition, or before 2x2 average pooling.

    Args:
        filters: Number of output channels.
        kernel_size: 3 or 1.
        resampling: `up`, `down` or `none`.
        form: `plain` computes the definition; the other `FORMS` of the resampling compute the same, except for
            rounding, with less arithmetic. `auto` selects the fastest form by the size and width of the feature map,
            and `auto_tflite` does so for TFLite. A 1x1 convolution commutes with the resampling: unless the form is
            `plain`, it is computed on the smaller side.
        **kwargs: `use_bias`, initializers, regularizers and constraints of `keras.layers.Conv2D`.

    Call arguments:
        inputs: Float [batch, height, width, channels] of known height and width, which must be even for `down`. On the
            larger side of the resampling they must be multiples of 2 for `minimal_2` and of 4 for `minimal_4`.

    Returns:
        [batch, height, width, filters], with twice the height and width for `up`, and half of them for `down`.

    Raises:
        ValueError: If an argument is out of range, or the height or width is unknown or not a multiple of what the form
            needs.
    """

    def __init__(
        self, filters: int, kernel_size: int = 3, resampling: str = "none", form: str = "auto", **kwargs: Any
    ) -> None:
        if kernel_size not in (1, 3):
            raise ValueError(f"`kernel_size` must be 1 or 3. Received: {kernel_size}")
        if resampling not in FORMS:
            raise ValueError(f"`resampling` must be one of {tuple(FORMS)}. Received: {resampling!r}")
        if form not in (*AUTO_FORMS, *FORMS[resampling]):
            raise ValueError(f"`form` must be one of {(*AUTO_FORMS, *FORMS[resampling])}. Received: {form!r}")
        if fixed := [name for name in _FIXED_OPTIONS if name in kwargs]:
            raise ValueError(f"`{fixed[0]}` cannot be set. Received: {kwargs[fixed[0]]!r}")
        super().__init__(filters, kernel_size, padding="same", data_format="channels_last", **kwargs)
        self.resampling = resampling
        self.form = form

    def build(self, input_shape: Any) -> None:
        """Create the kernel and the bias."""
        self._check_size(input_shape)
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Convolve and resample the inputs."""
        self._check_size(inputs.shape)
        # Spectral normalization may have replaced the variable by a value. Use that value without a copy, so that
        # `schedule_kernel_transform` can see whether it is known.
        value = self.kernel.value
        kernel = value if isinstance(value, tf.Tensor) else tf.convert_to_tensor(self.kernel)
        if self.kernel_size[0] == 3:
            return self._add_bias(FORMS[self.resampling][self._choose_form(inputs)](inputs, kernel))
        plain = self.form == "plain"
        if self.resampling == "up":
            return (
                self._convolve_1x1(upsample(inputs), kernel) if plain else upsample(self._convolve_1x1(inputs, kernel))
            )
        if self.resampling == "down":
            if plain:
                return downsample(self._convolve_1x1(inputs, kernel))
            return self._convolve_1x1(downsample(inputs), kernel)
        return self._convolve_1x1(inputs, kernel)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Return the shape of the outputs."""
        batch, height, width, _ = input_shape
        if self.resampling == "up":
            return (batch, 2 * height, 2 * width, self.filters)
        divisor = 2 if self.resampling == "down" else 1
        return (batch, height // divisor, width // divisor, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        config = super().get_config()
        for fixed in _FIXED_OPTIONS:
            del config[fixed]
        return {**config, "kernel_size": self.kernel_size[0], "resampling": self.resampling, "form": self.form}

    def _choose_form(self, inputs: tf.Tensor) -> str:
        if self.form not in AUTO_FORMS:
            return self.form
        target = "tflite" if self.form == "auto_tflite" else "accelerator" if accelerators.has_accelerator() else "cpu"
        return choose_fastest_form(self.resampling, tuple(inputs.shape[1:]), self.filters, self.compute_dtype, target)

    def _check_size(self, shape: Any) -> None:
        form = FORMS[self.resampling].get(self.form) if self.kernel_size[0] == 3 else None
        default = 2 if self.resampling == "down" else 1
        divisor = form.inputs.side if isinstance(form, minimal.MinimalConvolution) else default
        if any(size is None or size % divisor for size in shape[1:3]):
            multiples = "" if divisor == 1 else f", both multiples of {divisor}"
            raise ValueError(f"Inputs must have a known height and width{multiples}. Received: {tuple(shape[1:3])}")

    def _convolve_1x1(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        return self._add_bias(tf.nn.conv2d(inputs, kernel, 1, "SAME"))

    def _add_bias(self, outputs: tf.Tensor) -> tf.Tensor:
        return tf.nn.bias_add(outputs, tf.convert_to_tensor(self.bias)) if self.use_bias else outputs


def choose_fastest_form(
    resampling: str, inputs: tuple[int, int, int], filters: int, dtype: str = "float32", target: str = "cpu"
) -> str:
    """Return the name of the fastest form of a 3x3 convolution.

    Minimal forms save multiplications, of which there are inputs * outputs per location, and add additions, of which
    there are inputs or outputs. They are faster for wide layers. Small tiles are used for kernels that are large in
    comparison to the feature map, for sizes that are not multiples of large tiles, and for half precision, in which the
    rounding errors of large tiles would be too large. The choice depends on the size of one image and not on the batch
    size, so that an image is computed in the same way in every batch.

    Args:
        resampling: `up`, `down` or `none`.
        inputs: Height, width and channels of the inputs.
        filters: Number of output channels.
        dtype: Dtype of the computation.
        target: `cpu` (measured on two cores); `tflite`, its interpreter on the same cores; or `accelerator`, a GPU or
            TPU. There, multiplications are cheap compared to memory traffic, so the result is the form with the fewest
            multiplications that is a single convolution (not measured).
    """
    height, width, channels = inputs
    scale = 2 if resampling == "up" else 1
    sides = scale * height, scale * width
    has_large_kernel = channels * filters >= _MIN_LARGE_KERNEL * math.prod(sides)
    for tile in (2,) if has_large_kernel or dtype in ("bfloat16", "float16") else (4, 2):
        is_wide = channels + filters >= _MIN_CHANNELS[tile][resampling]
        if is_wide and all(side % tile == 0 for side in sides) and target != "accelerator":
            return f"minimal_{tile}"
    if resampling == "none":
        return "plain"
    return "subpixel" if target == "tflite" else "strided"
