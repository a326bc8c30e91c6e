"""The names, types and shapes that servers and clients of an export agree on.

This module imports only the standard library, because clients import it.
"""

from __future__ import annotations

import dataclasses

MODEL_NAME = "sagan"
"""Default name of the generator in TensorFlow Serving."""
MODEL_CARD = "model_card.json"
"""File beside an exported model that describes it."""
MAX_BATCH_SIZE = 256
"""Maximum number of rows of a request; a larger request is refused before it uses memory."""
NO_TRUNCATION = 8.0
"""Truncation from which latents stay as they are: only 1e-15 of a normal distribution lies beyond it."""

SERVING_DEFAULT, GENERATE, ATTENTION = "serving_default", "generate", "attention"


@dataclasses.dataclass(frozen=True)
class TensorContract:
    """An input or output of a signature.

    Attributes:
        dtype: `float32`, `int32`, `int64` or `string`.
        shape: Sizes. A string is the name of a size: `batch` is the batch size, and the model card has the values of
            the other names.
    """

    dtype: str
    shape: tuple[int | str, ...]


@dataclasses.dataclass(frozen=True)
class SignatureContract:
    """Inputs and outputs of a signature by name."""

    inputs: dict[str, TensorContract]
    outputs: dict[str, TensorContract]


def set_batch_size_to_one(signature: SignatureContract) -> SignatureContract:
    """Return a signature whose batch size is always 1."""

    def replace(tensors: dict[str, TensorContract]) -> dict[str, TensorContract]:
        return {name: TensorContract(tensor.dtype, (1, *tensor.shape[1:])) for name, tensor in tensors.items()}

    return SignatureContract(replace(signature.inputs), replace(signature.outputs))


_LATENTS = TensorContract("float32", ("batch", "latent_dim"))
_LABELS = TensorContract("int32", ("batch",))
_IMAGES = TensorContract("float32", ("batch", "resolution", "resolution", "image_channels"))

GENERATOR_SIGNATURES = {
    SERVING_DEFAULT: SignatureContract({"latents": _LATENTS, "labels": _LABELS}, {"images": _IMAGES}),
    GENERATE: SignatureContract(
        {
            "seeds": TensorContract("int64", ("batch",)),
            "labels": _LABELS,
            "truncation": TensorContract("float32", ("batch",)),
        },
        {"png_bytes": TensorContract("string", ("batch",))},
    ),
    ATTENTION: SignatureContract(
        {"latents": _LATENTS, "labels": _LABELS, "queries": TensorContract("int32", ("batch", 2))},
        {"attention_map": TensorContract("float32", ("batch", "attention_height", "attention_width"))},
    ),
}
"""Signatures of a generator.

`images` are in [-1, 1]. `seeds` may have any value. `truncation` is at least 0; see `NO_TRUNCATION`. `queries` are row
and column in the feature map of the attention layer. The signature `attention` exists only if the generator has
attention.
"""

DISCRIMINATOR_SIGNATURES = {
    SERVING_DEFAULT: SignatureContract(
        {"images": _IMAGES, "labels": _LABELS}, {"logits": TensorContract("float32", ("batch", 1))}
    )
}
"""Signatures of a discriminator."""
AUXILIARY_CLASSIFIER_SIGNATURES = {
    SERVING_DEFAULT: SignatureContract(
        {"images": _IMAGES, "labels": _LABELS},
        {
            "logits": TensorContract("float32", ("batch", 1)),
            "class_logits": TensorContract("float32", ("batch", "num_classes")),
        },
    )
}
"""Signatures of a discriminator with an auxiliary classifier."""
