"""Signatures of loaded exports, compared with the Keras network whose weights they have."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from sagan_tf.data.images.preprocessing import to_uint8
from sagan_tf.exporting import signatures as module
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.layers import SelfAttention2D
from sagan_tf.networks import build_generator
from sagan_tf.networks.architectures import count_used_classes
from sagan_tf.serving.contract import DISCRIMINATOR_SIGNATURES, GENERATOR_SIGNATURES, SignatureContract
from tests.exporting import small_export
from tests.networks.small_networks import images, labels

SEEDS, LABELS = np.array([5, -9, 2**40, 7, 5]), np.array([0, 1, 2, 0, 1], np.int32)
TRUNCATION = np.array([8.0, 0.5, np.inf, 0.0, 1.0], np.float32)


def describe(signature: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the types and shapes of inputs and outputs by name."""
    sides = signature.structured_input_signature[1], signature.structured_outputs
    inputs, outputs = (
        {name: (spec.dtype.name, tuple(spec.shape)) for name, spec in specs.items()} for specs in map(dict, sides)
    )
    return inputs, outputs


def resolve_contract(contract: SignatureContract, sizes: dict[str, int]) -> tuple[dict[str, Any], dict[str, Any]]:
    values: dict[Any, int | None] = {"batch": None, **sizes}
    inputs, outputs = (
        {name: (spec.dtype, tuple(values.get(size, size) for size in spec.shape)) for name, spec in specs.items()}
        for specs in (contract.inputs, contract.outputs)
    )
    return inputs, outputs


def compute_expected_map(layer: SelfAttention2D, features: np.ndarray, query: np.ndarray) -> np.ndarray:
    """Return the attention map of a query in an image, [key_height, key_width], by the paper's formula in float64."""

    def project(convolution: Any) -> np.ndarray:
        kernel = convolution.trainable_variables[0].numpy()[0, 0].astype(np.float64)
        return features.astype(np.float64) @ (kernel / float(convolution.sigma()))

    keys = project(layer.key)
    if layer.form == "pooled":
        height, width, _ = keys.shape
        keys = keys.reshape(height // 2, 2, width // 2, 2, -1).max(axis=(1, 3))
    logits = keys @ project(layer.query)[tuple(query)]
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def assert_maps(exported: small_export.Exported, layer: SelfAttention2D) -> None:
    inputs, side = small_export.inputs_for(exported.config), layer.input.shape[1]
    queries = np.array([[0, 0], [side - 1, side - 1], [3, side - 2]], np.int32)
    found = exported.call("attention", **inputs, queries=queries)
    network = exported.network
    twin = keras.Model(network.inputs, layer.input)
    features = twin(list(inputs.values()), training=False).numpy()
    expected = np.stack([compute_expected_map(layer, *row) for row in zip(features, queries, strict=True)])
    assert found.shape == expected.shape and np.ptp(expected) > 5e-5
    np.testing.assert_allclose(found, expected, atol=min(1e-5, 0.01 * np.ptp(expected)))


SLOW = ("gray and unconditional", "parameter-matched block")
"""Generators whose exports other tests call too."""


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow) if name in SLOW else name for name in small_export.GENERATORS],
)
def test_images_and_attention_maps_of_a_loaded_generator(name, exported, tmp_path):
    if options := small_export.GENERATORS[name]:
        exported = small_export.save_generator(tmp_path, **options)
    inputs, network = small_export.inputs_for(exported.config), exported.network
    expected = network(list(inputs.values()), training=False).numpy()
    assert np.ptp(expected) > 0.3 and np.abs(expected).max() < 0.99
    np.testing.assert_allclose(exported.call("serving_default", **inputs), expected, atol=1e-4)
    layers = [layer for layer in network.layers if isinstance(layer, SelfAttention2D)]
    signatures, sizes = exported.model.signatures, module.get_generator_sizes(network)
    assert set(signatures) == {"serving_default", "generate", *(["attention"] if layers else [])}
    for signature in signatures:
        assert describe(signatures[signature]) == resolve_contract(GENERATOR_SIGNATURES[signature], sizes)
    if layers and exported.config.generator_spectral_norm:
        assert_maps(exported, layers[-1])  # the last layer has the largest feature map
    png = exported.call("generate", seeds=SEEDS[:1], labels=LABELS[:1], truncation=TRUNCATION[:1])[0]
    assert tf.io.decode_png(png).shape == expected.shape[1:]


@pytest.mark.parametrize("name", small_export.DISCRIMINATORS)
def test_logits_of_a_loaded_discriminator(name, tmp_path):
    exported = small_export.save_discriminator(tmp_path, **small_export.DISCRIMINATORS[name])
    batch = {"images": images(config=exported.config), "labels": labels() % max(count_used_classes(exported.config), 1)}
    expected = exported.network(list(batch.values()), training=False)
    signature = exported.model.signatures["serving_default"]
    found = signature(**small_export.tensors(batch))
    names = ["logits", "class_logits"] if name == "auxiliary classifier" else ["logits"]
    assert sorted(found) == sorted(names)
    for output, wanted in zip(names, expected if len(names) > 1 else [expected], strict=True):
        scale = max(1.0, float(np.abs(wanted).max()))
        np.testing.assert_allclose(found[output], wanted, atol=1e-4 * scale)
        assert np.ptp(wanted) > 1e-3
    (contract,) = DISCRIMINATOR_SIGNATURES.values()
    inputs, outputs = resolve_contract(contract, module.get_discriminator_sizes(exported.network))
    assert describe(signature)[0] == inputs and outputs.items() <= describe(signature)[1].items()


def test_seed_label_and_truncation_determine_the_file(exported):
    """The file does not depend on the batch."""
    inputs = {"seeds": SEEDS, "labels": LABELS, "truncation": TRUNCATION}
    together = exported.call("generate", **inputs).tolist()
    assert len(set(together)) == 5
    for rows in ([3, 0, 4, 2, 1, 0], *([row] for row in range(5))):
        some = {name: array[rows] for name, array in inputs.items()}
        assert exported.call("generate", **some).tolist() == [together[row] for row in rows]


def test_each_image_of_a_request_is_generated_separately(exported):
    """On some machines kernels round differently for other batch sizes."""
    functions = exported.model.signatures["generate"].graph.as_graph_def().library.function
    nodes = [(function.signature.name, node) for function in functions for node in function.node_def]
    bodies = {node.attr["body"].func.name for _, node in nodes if node.op.endswith("While")}
    convolving = {name for name, node in nodes if node.op == "Conv2D"}
    assert convolving and convolving <= bodies


def test_a_file_has_the_image_of_the_network(exported):
    files = exported.call("generate", seeds=SEEDS, labels=LABELS, truncation=TRUNCATION)
    found = np.stack([tf.io.decode_png(file).numpy() for file in files])
    latents = draw_latents_from_seeds(SEEDS, exported.config.latent_dim, TRUNCATION)
    expected = to_uint8(exported.network([latents, tf.constant(LABELS)], training=False)).numpy()
    assert found.shape == expected.shape == (5, 32, 32, 3) and found.dtype == np.uint8
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert np.ptp(found.astype(int)) > 50 and np.abs(found[0].astype(int) - found[4]).max() > 2


def test_the_attention_signature_uses_the_largest_feature_map():
    network = build_generator(small_export.export_config(attention_resolutions=(16, 8), image_channels=1))
    layer = module.find_attention_layer(network)
    assert layer is not None and layer.name == "attention_16"
    sizes = {"latent_dim": 6, "resolution": 32, "image_channels": 1}
    attention = {"query_height": 16, "query_width": 16, "attention_height": 8, "attention_width": 8}
    assert module.get_generator_sizes(network) == sizes | attention


def test_exporting_does_not_change_the_network(exported):
    """Neither its weights nor its calls change, and nothing stays folded; saving and loading do not change files."""
    network = small_export.make_generator(exported.config)
    inputs = list(small_export.inputs_for(exported.config).values())
    before, images_before = [variable.numpy() for variable in network.variables], network(inputs, training=False)
    generate = module.export_generator(network, 3).signatures["generate"]
    for variable, value in zip(network.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value)
    np.testing.assert_array_equal(network(inputs, training=False), images_before)
    request = {"seeds": SEEDS[:2], "labels": LABELS[:2], "truncation": TRUNCATION[:2]}
    files = generate(**small_export.tensors(request))["png_bytes"].numpy().tolist()
    assert files == exported.call("generate", **request).tolist()
    for variable in network.trainable_variables:
        variable.assign(0.9 * variable)
    assert np.abs(network(inputs, training=False) - images_before).max() > 1e-3
