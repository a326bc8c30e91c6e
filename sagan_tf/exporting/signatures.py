"""The signatures of exported networks, as `contract` has them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.exporting.inference_graph import InferenceGraph, Tensors, WeightStore, inference_graph
from sagan_tf.exporting.input_checks import checked, finite
from sagan_tf.generation.latents import latents_of_seeds
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
"""Numbers by the names that the contract has for them."""


class ExportedNetwork:
    """A network as it is exported.

    Args:
        store: the weights of its graphs.

    Attributes:
        module: holds the weights as variables that are not trained.
        signatures: concrete functions by name, each of the tensors of its contract.
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
    """Return the signatures of a generator at inference.

    Args:
        network: of `build_generator`.
        num_classes: 0 for a generator without classes.
    """
    store, sizes = WeightStore(), generator_sizes(network)
    images = inference_graph(
        network,
        lambda latents, labels: {"images": network([latents, labels], training=False)},
        input_specs(GENERATOR_SIGNATURES[SERVING_DEFAULT], sizes),
        store,
    )
    attention = _attention_graph(network, sizes, store)
    exported = ExportedNetwork(store)

    def serving_default(**inputs: tf.Tensor) -> Tensors:
        return finite(images(checked(inputs, num_classes), exported.weight))

    def generate(**inputs: tf.Tensor) -> Tensors:
        right = checked(inputs, num_classes)
        latents = latents_of_seeds(right["seeds"], sizes["latent_dim"], right["truncation"])
        return {"png_bytes": encode_pngs(_one_by_one(images, exported, latents, right["labels"]))}

    functions: dict[str, Callable[..., Tensors]] = {SERVING_DEFAULT: serving_default, GENERATE: generate}
    if attention is not None:
        functions[ATTENTION] = lambda **inputs: finite(attention(checked(inputs, num_classes), exported.weight))
    exported.signatures = {
        name: _signature(function, GENERATOR_SIGNATURES[name], sizes) for name, function in functions.items()
    }
    return exported


def export_discriminator(network: keras.Model, num_classes: int) -> ExportedNetwork:
    """Return the signature of a discriminator at inference; arguments as for `export_generator`."""
    store, (contract,) = WeightStore(), DISCRIMINATOR_SIGNATURES.values()
    sizes = discriminator_sizes(network)

    def judge(images: tf.Tensor, labels: tf.Tensor) -> Tensors:
        outputs = network([images, labels], training=False)
        if isinstance(outputs, list | tuple):  # an auxiliary classifier's too
            return dict(zip(("logits", "class_logits"), outputs, strict=True))
        return {"logits": outputs}

    graph = inference_graph(network, judge, input_specs(contract, sizes), store)
    exported = ExportedNetwork(store)

    def serving_default(**inputs: tf.Tensor) -> Tensors:
        return finite(graph(checked(inputs, num_classes), exported.weight))

    exported.signatures = {SERVING_DEFAULT: _signature(serving_default, contract, sizes)}
    return exported


def generator_sizes(network: keras.Model) -> Sizes:
    """Return the contract's numbers for a generator."""
    (_, resolution, _, channels), attention = network.output_shape, attention_layer(network)
    sizes = {"latent_dim": network.inputs[0].shape[1], "resolution": resolution, "image_channels": channels}
    if attention is not None:
        _, height, width, _ = attention.input.shape
        sizes |= {"query_height": height, "query_width": width}
        sizes |= {"attention_height": attention.key_size(height), "attention_width": attention.key_size(width)}
    return sizes


def discriminator_sizes(network: keras.Model) -> Sizes:
    """Return the contract's numbers for a discriminator."""
    _, resolution, _, channels = network.inputs[0].shape
    return {"resolution": resolution, "image_channels": channels}


def attention_layer(network: keras.Model) -> SelfAttention2D | None:
    """Return the attention layer that signature `attention` shows: of several that of the largest feature map."""
    layers = [layer for layer in network.layers if isinstance(layer, SelfAttention2D)]
    return max(layers, key=lambda layer: layer.input.shape[1], default=None)


def input_specs(contract: SignatureContract, sizes: Sizes) -> dict[str, tf.TensorSpec]:
    """Return what a signature takes, of any batch size."""
    return {
        name: tf.TensorSpec([None, *(sizes.get(str(size), size) for size in tensor.shape[1:])], tensor.dtype)
        for name, tensor in contract.inputs.items()
    }


def _attention_graph(network: keras.Model, sizes: Sizes, store: WeightStore) -> InferenceGraph | None:
    layer = attention_layer(network)
    if layer is None:
        return None
    features = keras.Model(network.inputs, layer.input)

    def attend(latents: tf.Tensor, labels: tf.Tensor, queries: tf.Tensor) -> Tensors:
        rows = layer.attention_rows(features([latents, labels], training=False), queries[:, tf.newaxis])
        return {"attention_map": rows[:, 0]}

    return inference_graph(network, attend, input_specs(GENERATOR_SIGNATURES[ATTENTION], sizes), store)


def _one_by_one(images: InferenceGraph, exported: ExportedNetwork, latents: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Pictures uint8 [b, ...], each made by itself: in other batches kernels may round otherwise, and a file differ."""

    def of_one(row: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        inputs = {"latents": row[0][tf.newaxis], "labels": row[1][tf.newaxis]}
        return to_uint8(images(inputs, exported.weight)["images"])[0]

    return tf.map_fn(of_one, (latents, labels), fn_output_signature=tf.uint8)


def _signature(function: Callable[..., Tensors], contract: SignatureContract, sizes: Sizes) -> Any:
    specs = input_specs(contract, sizes)
    named = {name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in specs.items()}
    return tf.function(function, autograph=False).get_concrete_function(**named)
