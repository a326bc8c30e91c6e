"""Signatures of exported networks, as `sagan_tf.serving.contract` defines them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.exporting.inference_graph import InferenceGraph, Tensors, WeightStore, build_inference_graph
from sagan_tf.exporting.input_checks import validate_inputs, validate_outputs
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.keras_backend import keras
from sagan_tf.layers import SelfAttention2D
from sagan_tf.serving.contract import (
    ATTENTION,
    DISCRIMINATOR_SIGNATURES,
    GENERATE,
    GENERATOR_SIGNATURES,
    SERVING_DEFAULT,
    SignatureContract,
)
from sagan_tf.visualization.png import encode_pngs

Sizes = dict[str, int]
"""Sizes by the names that they have in the contract."""


class ExportedNetwork:
    """A network and its signatures, ready to be saved.

    Args:
        store: The weights of its graphs.

    Attributes:
        module: Holds the weights as variables that are not trainable.
        signatures: Concrete functions by name, which take and return the tensors of the contract.
    """

    def __init__(self, store: WeightStore) -> None:
        self.module = tf.Module()
        self.module.weights = {
            key: tf.Variable(value, trainable=False, name=key) for key, value in store.values.items()
        }
        self.signatures: dict[str, Any] = {}

    def weight(self, key: str) -> tf.Tensor:
        """Return the value of a weight."""
        return tf.convert_to_tensor(self.module.weights[key])


def export_generator(network: keras.Model, num_classes: int) -> ExportedNetwork:
    """Return a generator in inference mode with its signatures.

    Args:
        network: A network of `build_generator`.
        num_classes: The number of classes; 0 for a generator without classes.
    """
    store, sizes = WeightStore(), get_generator_sizes(network)
    images = build_inference_graph(
        network,
        lambda latents, labels: {"images": network([latents, labels], training=False)},
        build_input_specs(GENERATOR_SIGNATURES[SERVING_DEFAULT], sizes),
        store,
    )
    attention = _build_attention_graph(network, sizes, store)
    exported = ExportedNetwork(store)

    def serving_default(**inputs: tf.Tensor) -> Tensors:
        return validate_outputs(images(validate_inputs(inputs, num_classes), exported.weight))

    def generate(**inputs: tf.Tensor) -> Tensors:
        valid = validate_inputs(inputs, num_classes)
        latents = draw_latents_from_seeds(valid["seeds"], sizes["latent_dim"], valid["truncation"])
        return {"png_bytes": encode_pngs(_generate_one_by_one(images, exported, latents, valid["labels"]))}

    functions: dict[str, Callable[..., Tensors]] = {SERVING_DEFAULT: serving_default, GENERATE: generate}
    if attention is not None:
        functions[ATTENTION] = lambda **inputs: validate_outputs(
            attention(validate_inputs(inputs, num_classes), exported.weight)
        )
    exported.signatures = {
        name: _trace_signature(function, GENERATOR_SIGNATURES[name], sizes) for name, function in functions.items()
    }
    return exported


def export_discriminator(network: keras.Model, num_classes: int) -> ExportedNetwork:
    """Return a discriminator in inference mode with its signature.

    Args:
        network: A network of `build_discriminator`.
        num_classes: The number of classes; 0 for a discriminator without classes.
    """
    store, (contract,) = WeightStore(), DISCRIMINATOR_SIGNATURES.values()
    sizes = get_discriminator_sizes(network)

    def discriminate(images: tf.Tensor, labels: tf.Tensor) -> Tensors:
        outputs = network([images, labels], training=False)
        if isinstance(outputs, list | tuple):  # with an auxiliary classifier
            return dict(zip(("logits", "class_logits"), outputs, strict=True))
        return {"logits": outputs}

    graph = build_inference_graph(network, discriminate, build_input_specs(contract, sizes), store)
    exported = ExportedNetwork(store)

    def serving_default(**inputs: tf.Tensor) -> Tensors:
        return validate_outputs(graph(validate_inputs(inputs, num_classes), exported.weight))

    exported.signatures = {SERVING_DEFAULT: _trace_signature(serving_default, contract, sizes)}
    return exported


def get_generator_sizes(network: keras.Model) -> Sizes:
    """Return the sizes of a generator that its contract names."""
    (_, resolution, _, channels), attention = network.output_shape, find_attention_layer(network)
    sizes = {"latent_dim": network.inputs[0].shape[1], "resolution": resolution, "image_channels": channels}
    if attention is not None:
        _, height, width, _ = attention.input.shape
        sizes |= {"query_height": height, "query_width": width}
        key_height, key_width = attention.compute_key_size(height), attention.compute_key_size(width)
        sizes |= {"attention_height": key_height, "attention_width": key_width}
    return sizes


def get_discriminator_sizes(network: keras.Model) -> Sizes:
    """Return the sizes of a discriminator that its contract names."""
    _, resolution, _, channels = network.inputs[0].shape
    return {"resolution": resolution, "image_channels": channels}


def find_attention_layer(network: keras.Model) -> SelfAttention2D | None:
    """Return the attention layer with the largest feature map.

    It is the layer of the signature `attention`.
    """
    layers = [layer for layer in network.layers if isinstance(layer, SelfAttention2D)]
    return max(layers, key=lambda layer: layer.input.shape[1], default=None)


def build_input_specs(contract: SignatureContract, sizes: Sizes) -> dict[str, tf.TensorSpec]:
    """Return the specifications of the inputs of a signature, for any batch size."""
    return {
        name: tf.TensorSpec([None, *(sizes.get(str(size), size) for size in tensor.shape[1:])], tensor.dtype)
        for name, tensor in contract.inputs.items()
    }


def _build_attention_graph(network: keras.Model, sizes: Sizes, store: WeightStore) -> InferenceGraph | None:
    layer = find_attention_layer(network)
    if layer is None:
        return None
    features = keras.Model(network.inputs, layer.input)

    def attend(latents: tf.Tensor, labels: tf.Tensor, queries: tf.Tensor) -> Tensors:
        rows = layer.compute_attention_rows(features([latents, labels], training=False), queries[:, tf.newaxis])
        return {"attention_map": rows[:, 0]}

    return build_inference_graph(network, attend, build_input_specs(GENERATOR_SIGNATURES[ATTENTION], sizes), store)


def _generate_one_by_one(
    images: InferenceGraph, exported: ExportedNetwork, latents: tf.Tensor, labels: tf.Tensor
) -> tf.Tensor:
    """Generate images uint8 [b, height, width, channels], each in a batch of its own.

    Kernels may round differently for other batch sizes, so that the PNG file of a seed would depend on the batch.
    """

    def generate_image(row: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        inputs = {"latents": row[0][tf.newaxis], "labels": row[1][tf.newaxis]}
        return to_uint8(images(inputs, exported.weight)["images"])[0]

    return tf.map_fn(generate_image, (latents, labels), fn_output_signature=tf.uint8)


def _trace_signature(function: Callable[..., Tensors], contract: SignatureContract, sizes: Sizes) -> Any:
    specs = build_input_specs(contract, sizes)
    named = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in specs.items()}
    return tf.function(function, autograph=False).get_concrete_function(**named)
