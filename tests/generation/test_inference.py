"""Tests of networks in inference mode, compiled and not compiled."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from sagan_tf.config import ModelConfig
from sagan_tf.generation.inference import compile_generator, freeze_for_inference
from sagan_tf.networks import build_generator
from tests.training.tiny import tiny_config


def test_a_compiled_generator_makes_the_same_images_and_changes_no_variable():
    keras.utils.set_random_seed(3)
    # Wide enough for both convolution forms that prepare their kernels, and for both kinds of spectral normalization.
    config = ModelConfig(resolution=32, num_classes=3, base_channels=64, latent_dim=5, attention_resolutions=(16,))
    generator = build_generator(config)
    latents, labels = tf.random.normal([3, 5]), tf.constant([0, 1, 2])
    generator([latents, labels], training=True)
    before = [variable.numpy() for variable in generator.variables]
    generate = compile_generator(generator)
    expected = generator([latents, labels], training=False).numpy()
    np.testing.assert_allclose(generate(latents, labels), expected, atol=1e-5)
    np.testing.assert_allclose(generate(latents[:1], labels[:1]), expected[:1], atol=1e-5)
    for variable, value in zip(generator.variables, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)


def test_a_compiled_generator_prepares_kernels_at_tracing():
    config = ModelConfig(resolution=32, num_classes=3, base_channels=64, latent_dim=5, attention_resolutions=())
    compiled: Any = compile_generator(build_generator(config))
    operations = compiled.graph.get_operations()
    assert not [operation for operation in operations if "Assign" in operation.type]
    # Power iterations and sums of kernels are matrix products too. The remaining products must be those of the network,
    # whose first factor has an unknown number of rows: one for each image or location of the batch.
    products = [
        operation for operation in operations if operation.type == "MatMul" and "transform" not in operation.name
    ]
    assert products and all(operation.inputs[0].shape[0] is None for operation in products)


def test_freezing_keeps_outputs_and_power_iteration_vectors():
    """After the context, training updates the vectors of power iterations again."""
    keras.utils.set_random_seed(3)
    config = tiny_config().model
    generator = build_generator(config)
    latents, labels = tf.random.normal([4, config.latent_dim]), tf.constant([0, 1, 2, 0])
    vectors = [variable for variable in generator.variables if "moving" not in variable.name]
    before = [variable.numpy() for variable in vectors]
    expected = generator([latents, labels], training=False).numpy()
    with freeze_for_inference(generator):
        np.testing.assert_allclose(generator([latents, labels], training=False), expected, atol=1e-5)
        generator([latents, labels], training=True)
    for variable, value in zip(vectors, before, strict=True):
        np.testing.assert_array_equal(variable.numpy(), value, err_msg=variable.path)
    generator([latents, labels], training=True)
    assert any(np.any(variable.numpy() != value) for variable, value in zip(vectors, before, strict=True))
