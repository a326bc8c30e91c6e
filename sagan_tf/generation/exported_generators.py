"""Generators that were exported as SavedModels."""

from __future__ import annotations

import os
import pathlib
from typing import Any

import tensorflow as tf

from sagan_tf.errors import UserError
from sagan_tf.generation.generators import Generator
from sagan_tf.saved_models import compute_saved_model_digest, load_saved_model
from sagan_tf.serving.classes import read_card_classes
from sagan_tf.serving.contract import MODEL_CARD


def load_generator_from_saved_model(directory: str) -> Generator:
    """Load an exported generator by its signature `serving_default`.

    Args:
        directory: Directory of the SavedModel.

    Returns:
        The generator. Its `network` and `config` are None.

    Raises:
        UserError: The directory does not contain a SavedModel with this signature.
    """
    path = pathlib.Path(os.path.expanduser(directory))
    model = load_saved_model(path, "saved_model")
    latent_dim, shape = _read_signature(model, path)
    card = path / MODEL_CARD
    num_classes, class_names = read_card_classes(card) if card.is_file() else (0, ())
    return Generator(
        name=str(path),
        latent_dim=latent_dim,
        num_classes=num_classes,
        class_names=class_names,
        shape=shape,
        digest=compute_saved_model_digest(path),
        function=_ServingFunction(model),
    )


def _read_signature(model: Any, path: pathlib.Path) -> tuple[int, tuple[int, int, int]]:
    """Read the latent length and the image shape from a model's signature.

    The image shape is (height, width, channels).

    Raises:
        UserError: The model does not have the expected signature.
    """
    signature = getattr(model, "signatures", {}).get("serving_default")
    inputs = signature.structured_input_signature[1] if signature is not None else {}
    outputs = signature.structured_outputs if signature is not None else {}
    unknown = tf.TensorSpec(None)
    latents, labels = inputs.get("latents", unknown), inputs.get("labels", unknown)
    images = outputs.get("images", unknown) if isinstance(outputs, dict) else unknown
    is_expected = (
        len(inputs) == 2
        and (latents.dtype, labels.dtype) == (tf.float32, tf.int32)
        and (latents.shape.rank, labels.shape.rank) == (2, 1)
        and latents.shape[0] is None
        and labels.shape[0] is None
        and latents.shape[1] is not None
        and images.shape.rank == 4
        and None not in images.shape[1:]
        and images.shape[3] in (1, 3, 4)
    )
    if not is_expected:
        raise UserError(
            "saved_model: expected a signature serving_default from latents float32 [any, n] and labels int32 [any] "
            f"to images [any, height, width, channels], received a SavedModel without it in {path}; export the run "
            "again with python -m sagan_tf.export"
        )
    return latents.shape[1], tuple(images.shape[1:])


class _ServingFunction:
    """A SavedModel as the function of a `Generator`.

    It keeps a reference to the model, because the model's signatures hold only weak references to its variables.
    """

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, latents: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return self._model.signatures["serving_default"](latents=latents, labels=labels)["images"]
