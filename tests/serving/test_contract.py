"""The contract of exported models does not change: programs of users contain its names and types."""

from __future__ import annotations

import subprocess
import sys

from sagan_tf.generation.latents import NO_TRUNCATION
from sagan_tf.serving import contract
from sagan_tf.serving.contract import DISCRIMINATOR_SIGNATURES, GENERATOR_SIGNATURES, SignatureContract


def get_types(signature: SignatureContract) -> tuple[dict[str, str], dict[str, str]]:
    inputs, outputs = (
        {name: tensor.dtype for name, tensor in tensors.items()} for tensors in (signature.inputs, signature.outputs)
    )
    return inputs, outputs


def test_signatures() -> None:
    assert {name: get_types(signature) for name, signature in GENERATOR_SIGNATURES.items()} == {
        "serving_default": ({"latents": "float32", "labels": "int32"}, {"images": "float32"}),
        "generate": ({"seeds": "int64", "labels": "int32", "truncation": "float32"}, {"png_bytes": "string"}),
        "attention": ({"latents": "float32", "labels": "int32", "queries": "int32"}, {"attention_map": "float32"}),
    }
    (discriminator,) = DISCRIMINATOR_SIGNATURES.values()
    assert get_types(discriminator) == ({"images": "float32", "labels": "int32"}, {"logits": "float32"})


def test_no_truncation_is_that_of_the_sampler() -> None:
    assert contract.NO_TRUNCATION == NO_TRUNCATION


def test_clients_need_no_tensorflow() -> None:
    program = "import sys, sagan_tf.serving.contract; assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
