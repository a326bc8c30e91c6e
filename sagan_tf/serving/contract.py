"""What an exported generator takes and gives: the names, types and shapes that servers and clients agree on.

Imports neither TensorFlow nor anything else: clients use it.
"""

from __future__ import annotations

import dataclasses

MODEL_NAME = "sagan"
"""Under which name TensorFlow Serving is asked for the generator, unless it is configured otherwise."""
MODEL_CARD = "model_card.json"
"""The file beside an exported model that says what it is."""
LARGEST_BATCH = 256
"""Rows of a request; more are refused before they cost memory."""
NO_TRUNCATION = 8.0
"""The truncation that is none, and any above: see `sagan_tf.generation.latents`."""

SERVING_DEFAULT, GENERATE, ATTENTION = "serving_default", "generate", "attention"


@dataclasses.dataclass(frozen=True)
class TensorContract:
    """One input or output of a signature.

    Attributes:
        dtype: float32, int32, int64 or string.
        shape: of a text, its number is in the model card under this name; the batch is `batch`.
    """

    dtype: str
    shape: tuple[int | str, ...]


@dataclasses.dataclass(frozen=True)
class SignatureContract:
    """Inputs and outputs by name."""

    inputs: dict[str, TensorContract]
    outputs: dict[str, TensorContract]


def of_one(signature: SignatureContract) -> SignatureContract:
    """Return a signature whose batch is always 1."""

    def one(tensors: dict[str, TensorContract]) -> dict[str, TensorContract]:
        return {name: TensorContract(tensor.dtype, (1, *tensor.shape[1:])) for name, tensor in tensors.items()}

    return SignatureContract(one(signature.inputs), one(signature.outputs))


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
"""Of a generator. `images` are in [-1, 1]; `seeds` are any; `truncation` is at least 0, see `NO_TRUNCATION`; `queries`
are row and column in the feature map that attention works on; `attention` is there if the generator has attention."""

DISCRIMINATOR_SIGNATURES = {
    SERVING_DEFAULT: SignatureContract(
        {"images": _IMAGES, "labels": _LABELS}, {"logits": TensorContract("float32", ("batch", 1))}
    )
}
AUXILIARY_CLASSIFIER_SIGNATURES = {
    SERVING_DEFAULT: SignatureContract(
        {"images": _IMAGES, "labels": _LABELS},
        {
            "logits": TensorContract("float32", ("batch", 1)),
            "class_logits": TensorContract("float32", ("batch", "num_classes")),
        },
    )
}
"""Of a discriminator that names classes too."""
