"""Measurements of TF-GAN's example (`tensorflow_gan.examples.self_attention_estimator`): training and sampling.

Networks, losses and training operations are TF-GAN's. TensorFlow no longer has the Estimator around them, so this
module does the same: an update is one `session.run` of TF-GAN's generator or discriminator operation, latents come with
the data, and real images with their labels. TF-GAN needs TF1 graphs and Keras 2, which a worker has for itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from tools.benchmarks.measure import Measurement, read_peak_memory_bytes
from tools.tf_gan import LATENT_DIM, import_tensorflow_gan


def prepare_train_step(*, batch_size: int, base_channels: int, num_classes: int) -> Measurement:
    """Build the training operations of TF-GAN's GANEstimator, and train two steps to warm up.

    Returns:
        The measurement of the two updates, in TF-GAN's order.
    """
    tf, tfgan, generator, discriminator = import_tensorflow_gan()
    real = {
        "images": tf.Variable(tf.random.uniform([batch_size, 128, 128, 3], -1.0, 1.0), trainable=False),
        "labels": tf.Variable(tf.random.uniform([batch_size], 0, num_classes, tf.int32), trainable=False),
    }
    real = {name: tf.convert_to_tensor(value) for name, value in real.items()}

    def generate(latents: Any) -> dict[str, Any]:
        labels = tf.squeeze(tf.random.categorical(tf.zeros([batch_size, num_classes]), 1), -1)
        labels = tf.cast(labels, tf.int32)
        images, _ = generator.generator(latents, labels, base_channels, num_classes, training=True)
        return {"images": images, "labels": labels}

    def discriminate(data: dict[str, Any], _: Any) -> Any:
        return discriminator.discriminator(data["images"], data["labels"], base_channels, num_classes)[0]

    latents = tf.random.normal([batch_size, LATENT_DIM])
    model = tfgan.gan_model(generate, discriminate, real, latents, check_shapes=False)
    # tfgan.gan_loss only calls these two functions, but it uses inspect.getargspec, which Python 3.11 removed.
    loss = tfgan.GANLoss(
        tfgan.losses.wasserstein_hinge_generator_loss(model, add_summaries=False),
        tfgan.losses.wasserstein_hinge_discriminator_loss(model, add_summaries=False),
    )
    tf.train.create_global_step()
    adams = tf.train.AdamOptimizer(1e-4, 0.0), tf.train.AdamOptimizer(4e-4, 0.0)
    operations = tfgan.gan_train_ops(model, loss, *adams)
    return _prepare_operations(tf, [operations.generator_train_op, operations.discriminator_train_op])


def prepare_sampling(*, batch_size: int, base_channels: int, num_classes: int) -> Measurement:
    """Build TF-GAN's generator in inference mode, and generate two batches to warm up.

    Returns:
        The measurement of a batch of images of random latents and labels.
    """
    tf, _, generator, _ = import_tensorflow_gan()
    latents = tf.random.normal([batch_size, LATENT_DIM])
    labels = tf.random.uniform([batch_size], 0, num_classes, tf.int32)
    images, _ = generator.generator(latents, labels, base_channels, num_classes, training=False)
    return _prepare_operations(tf, [images])


def _prepare_operations(tf: Any, operations: Sequence[Any]) -> Measurement:
    """Initialize the variables, and run the operations twice.

    Args:
        tf: The TF1 module.
        operations: The operations, each of which is run by a call of its own.
    """
    session = tf.Session()
    session.run(tf.global_variables_initializer())

    def measure() -> dict[str, Any]:
        start = time.perf_counter()
        for operation in operations:
            session.run(operation)
        return {"seconds": time.perf_counter() - start, "peak_memory_bytes": read_peak_memory_bytes()}

    measure(), measure()
    return Measurement(measure)
