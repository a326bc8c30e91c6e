"""SavedModels as networks of extractors, with checks of their inputs and outputs."""

from __future__ import annotations

import pathlib
from typing import Any

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.features.extractor import ExtractorOutputs
from sagan_tf.saved_models import load_saved_model


class SavedModelNetwork:
    """A SavedModel as the network of an extractor, called by its signature or, without one, by its `__call__`.

    Args:
        directory: The directory of the SavedModel.
        output_names: Names of its outputs with features and with class logits.
        option: The option that names the directory, for messages.

    Raises:
        UserError: The SavedModel is missing or damaged, or it does not have the inputs and outputs of an extractor.
    """

    def __init__(self, directory: pathlib.Path, output_names: tuple[str, str], option: str) -> None:
        self._option = option
        self._output_names = output_names
        self._model = load_saved_model(directory, option)  # a reference, since its functions hold variables weakly
        self._function, self._spec = self._find_image_function(directory)
        outputs = self._function.structured_outputs
        if not isinstance(outputs, dict) or any(name not in outputs for name in self._output_names):
            received = ", ".join(sorted(outputs)) if isinstance(outputs, dict) else "outputs without names"
            raise UserError(
                f"{option}: expected outputs named {' and '.join(self._output_names)} in {directory}, received "
                f"{received}; choose outputs with --extractor_features and --extractor_logits of sagan_tf.train or "
                "sagan_tf.evaluate"
            )

    @property
    def size(self) -> tuple[int, int] | None:
        """Height and width of its images; None if it takes any size."""
        sizes = tuple(self._spec.shape[1:3]) if self._spec.shape.rank == 4 else (None, None)
        return None if None in sizes else sizes

    @property
    def channels(self) -> int | None:
        """Channels of its images; None if it takes any number."""
        return self._spec.shape[3] if self._spec.shape.rank == 4 else None

    @property
    def output_lengths(self) -> tuple[int | None, int | None]:
        """Lengths of feature vectors and logits; None for a length that is not static."""
        shapes = [self._function.structured_outputs[name].shape for name in self._output_names]
        features, logits = (shape[1:].num_elements() if shape.rank else None for shape in shapes)
        return features, logits

    def __call__(self, images: tf.Tensor) -> ExtractorOutputs:
        """Return the outputs for images float32 `[batch, height, width, channels]`."""
        outputs = self._function(images)
        rows = tf.shape(images)[0]
        selected = (tf.cast(outputs[name], tf.float32) for name in self._output_names)
        return ExtractorOutputs(*(tf.reshape(output, [rows, -1]) for output in selected))

    def _find_image_function(self, directory: pathlib.Path) -> tuple[Any, tf.TensorSpec]:
        """Return the function of one float32 tensor of images, and its input spec."""
        signatures = getattr(self._model, "signatures", {})
        candidates = [signatures[name] for name in signatures if name == "serving_default"]
        candidates += getattr(getattr(self._model, "__call__", None), "concrete_functions", [])  # noqa: B004
        for function in candidates:
            inputs = tf.nest.flatten(function.structured_input_signature)
            specs = [value for value in inputs if isinstance(value, tf.TensorSpec)]
            if len(specs) == 1 and specs[0].dtype == tf.float32 and _is_image_batch(specs[0].shape):
                return function, specs[0]
        raise UserError(
            f"{self._option}: expected a signature serving_default or a __call__ with one float32 tensor of any number "
            f"of images in {directory}, received {', '.join(signatures) or 'no signature'}"
        )


def _is_image_batch(shape: tf.TensorShape) -> bool:
    """Return whether a shape is a batch of images of one static size or of any size."""
    if shape.rank is None:
        return True
    return shape.rank == 4 and shape[0] is None and (shape[1] is None) == (shape[2] is None)
