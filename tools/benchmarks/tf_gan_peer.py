"""Worker that trains or samples with TF-GAN's example (`tensorflow_gan.examples.self_attention_estimator`).

Networks, losses and training operations are TF-GAN's. TensorFlow no longer has the Estimator around them, so this
module does the same: an update is one `session.run` of TF-GAN's generator or discriminator operation, latents come with
the data, and real images with their labels. TF-GAN needs TF1 graphs and Keras 2, hence a process of its own.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from tools.benchmarks.measure import read_peak_memory_bytes
from tools.benchmarks.workers import serve
from tools.tf_gan import LATENT_DIM, import_tensorflow_gan


def create_training_operations(options: argparse.Namespace) -> tuple[Any, Any, tuple[Any, Any]]:
    """Create the training operations of TF-GAN's GANEstimator.

    Args:
        options: Options with `batch_size`, `base_channels` and `num_classes`.

    Returns:
        The TF1 module, a session with initialized variables, and the operations of the two updates in TF-GAN's order.
    """
    tf, tfgan, generator, discriminator = import_tensorflow_gan()
    batch, width, classes = options.batch_size, options.base_channels, options.num_classes
    real = {
        "images": tf.Variable(tf.random.uniform([batch, 128, 128, 3], -1.0, 1.0), trainable=False),
        "labels": tf.Variable(tf.random.uniform([batch], 0, classes, tf.int32), trainable=False),
    }
    real = {name: tf.convert_to_tensor(value) for name, value in real.items()}

    def generate(latents: Any) -> dict[str, Any]:
        labels = tf.squeeze(tf.random.categorical(tf.zeros([batch, classes]), 1), -1)
        labels = tf.cast(labels, tf.int32)
        return {"images": generator.generator(latents, labels, width, classes, training=True)[0], "labels": labels}

    def discriminate(data: dict[str, Any], _: Any) -> Any:
        return discriminator.discriminator(data["images"], data["labels"], width, classes)[0]

    latents = tf.random.normal([batch, LATENT_DIM])
    model = tfgan.gan_model(generate, discriminate, real, latents, check_shapes=False)
    # tfgan.gan_loss only calls these two functions, but it uses inspect.getargspec, which Python 3.11 removed.
    loss = tfgan.GANLoss(
        tfgan.losses.wasserstein_hinge_generator_loss(model, add_summaries=False),
        tfgan.losses.wasserstein_hinge_discriminator_loss(model, add_summaries=False),
    )
    tf.train.create_global_step()
    adams = tf.train.AdamOptimizer(1e-4, 0.0), tf.train.AdamOptimizer(4e-4, 0.0)
    operations = tfgan.gan_train_ops(model, loss, *adams)
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    return tf, session, (operations.generator_train_op, operations.discriminator_train_op)


def create_sampling_operation(options: argparse.Namespace) -> tuple[Any, Any, Any]:
    """Create the sampling operation of TF-GAN's generator in inference mode.

    Args:
        options: Options with `batch_size`, `base_channels` and `num_classes`.

    Returns:
        The TF1 module, a session with initialized variables, and the images of random latents and labels.
    """
    tf, _, generator, _ = import_tensorflow_gan()
    latents = tf.random.normal([options.batch_size, LATENT_DIM])
    labels = tf.random.uniform([options.batch_size], 0, options.num_classes, tf.int32)
    images, _ = generator.generator(latents, labels, options.base_channels, options.num_classes, training=False)
    session = tf.Session()
    session.run(tf.global_variables_initializer())
    return tf, session, images


def main() -> None:
    """Build the networks, warm up, and serve requests."""
    parser = argparse.ArgumentParser()
    parser.add_argument("task", choices=("train", "sample"))
    parser.add_argument("--batch_size", type=int, required=True)
    parser.add_argument("--base_channels", type=int, required=True)
    parser.add_argument("--num_classes", type=int, required=True)
    options = parser.parse_args()
    if options.task == "train":
        _, session, operations = create_training_operations(options)
    else:
        _, session, images = create_sampling_operation(options)
        operations = (images,)

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        for operation in operations:
            session.run(operation)
        return {"seconds": time.perf_counter() - start, "peak_memory_bytes": read_peak_memory_bytes()}

    run(), run()
    serve({}, run)


if __name__ == "__main__":
    main()
