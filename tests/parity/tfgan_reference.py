"""Run TF-GAN's SAGAN example once, at 128 px, and write its results to an .npz file.

TF-GAN (`tensorflow_gan.examples.self_attention_estimator`) needs TF1 graphs and Keras 2, and so its own process.

    python -m tests.parity.tfgan_reference --output=reference.npz

Keys of the file, NAME being a TF-GAN variable's name without ":0":

    latents, labels, real_images, real_labels      inputs
    before/NAME, after/NAME                        variables before and after one training pass
    gradient/NAME                                  gradient of the network's own loss
    training_images, inference_images              G(z, y) with batch statistics; with the moving statistics of before/
    real_logits, fake_logits                       D(x, y), D(G(z), y), shape [batch, 1]
    discriminator_loss, generator_loss             hinge
    image_gradient                                 gradient of the generator loss with respect to training_images

The training pass is a single `session.run`: real and fake images go through the discriminator as one batch, so that
each u is updated exactly once.
"""

import argparse
import time
from typing import Any

import numpy as np

from tools.tf_gan import LATENT_DIM, import_tensorflow_gan

Arrays = dict[str, np.ndarray]

MAX_TRIALS = 40


def random_inputs(rng: np.random.Generator, batch_size: int, num_classes: int) -> Arrays:
    """Return latents [batch, 128], real images [batch, 128, 128, 3] in [-1, 1], and labels [batch] of fakes and reals.

    The images are patches of 16x16 pixels with some noise, since little of noise alone remains after pooling.
    """
    patches = rng.uniform(-0.8, 0.8, size=(batch_size, 8, 8, 3)).repeat(16, axis=1).repeat(16, axis=2)
    noise = rng.uniform(-0.2, 0.2, size=patches.shape)
    return {
        "latents": rng.normal(size=(batch_size, LATENT_DIM)).astype(np.float32),
        "labels": rng.integers(num_classes, size=batch_size).astype(np.int32),
        "real_images": (patches + noise).astype(np.float32),
        "real_labels": rng.integers(num_classes, size=batch_size).astype(np.int32),
    }


def random_weight(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    """Return a normal weight whose matrix [other axes, output channels] has the largest singular value `sigma`."""
    weight = rng.normal(size=shape)
    largest = np.linalg.norm(weight.reshape(-1, shape[-1]), ord=2)
    return weight * (sigma / largest)


def random_values(rng: np.random.Generator, shapes: dict[str, tuple[int, ...]]) -> Arrays:
    """Return a value for every variable; no value is 0 or 1, so that every variable has an effect.

    Normalized weights alternate between a sigma below and above 1, since TF-GAN divides by max(1, sigma), except in
    attention. beta, and biases in the discriminator, push most channels clearly to one side of the ReLU, see
    `is_well_conditioned`.
    """
    values: Arrays = {}
    num_weights = 0
    for name, shape in sorted(shapes.items()):
        kind = name.rsplit("/", 1)[-1]
        if kind in ("kernel", "weights", "embedding_map"):
            value = random_weight(rng, shape, sigma=(0.9, 3.0)[num_weights % 2])
            num_weights += 1
        elif kind == "gamma":
            value = rng.uniform(0.5, 1.0, size=shape)
        elif kind == "beta" or (kind == "bias" and name.startswith("discriminator")):
            value = rng.choice([-1.0, 1.0], p=[0.25, 0.75], size=shape) * rng.uniform(2.0, 3.0, size=shape)
        elif kind in ("bias", "moving_mean"):
            value = 0.1 * rng.normal(size=shape)
        elif kind == "moving_variance":
            value = rng.uniform(0.5, 1.5, size=shape)
        elif kind == "sigma_ratio":
            value = np.asarray(0.7)
        elif kind == "spectral_norm_u":
            value = rng.normal(size=shape)
        else:
            raise ValueError(f"expected a variable of TF-GAN's SAGAN, received {name}")
        values[name] = value.astype(np.float32)
    return values


def build_graph(
    tf: Any, generator: Any, discriminator: Any, inputs: dict[str, Any], base_channels: int, num_classes: int
) -> tuple[dict[str, Any], Any]:
    """Build the training pass and the bool tensor `is_well_conditioned` of its inputs.

    Returns:
        The tensors of the training pass by their key in the file; the bool tensor.
    """
    latents, labels = inputs["latents"], inputs["labels"]
    fakes, generator_weights = generator.generator(latents, labels, base_channels, num_classes, training=True)
    images = tf.concat([inputs["real_images"], fakes], axis=0)
    all_labels = tf.concat([inputs["real_labels"], labels], axis=0)
    logits, discriminator_weights = discriminator.discriminator(images, all_labels, base_channels, num_classes)
    real_logits, fake_logits = tf.split(logits, 2)
    suitable = is_well_conditioned(tf, real_logits, fake_logits)
    real_loss = tf.reduce_mean(tf.nn.relu(1.0 - real_logits))
    discriminator_loss = real_loss + tf.reduce_mean(tf.nn.relu(1.0 + fake_logits))
    generator_loss = -tf.reduce_mean(fake_logits)
    training = {
        "training_images": fakes,
        "real_logits": real_logits,
        "fake_logits": fake_logits,
        "discriminator_loss": discriminator_loss,
        "generator_loss": generator_loss,
        "image_gradient": tf.gradients(generator_loss, fakes)[0],
    }
    for loss, weights in ((generator_loss, generator_weights), (discriminator_loss, discriminator_weights)):
        for weight, gradient in zip(weights, tf.gradients(loss, weights), strict=True):
            training[f"gradient/{weight.op.name}"] = tf.convert_to_tensor(gradient)
    return training, suitable


def is_well_conditioned(tf: Any, real_logits: Any, fake_logits: Any) -> Any:
    """Return a tensor that is true if rounding errors cannot decide the results.

    Where an activation is within rounding errors of 0, its gradient may be 0 in one implementation only. The gradient
    of a weight is a sum of a million such terms of both signs, so that a single term changes it by 1e-3. The hinge must
    also be flat for some, but not all, real and fake images.
    """
    conditions = []
    for operation in tf.get_default_graph().get_operations():
        if operation.type == "Relu":
            distance = 1e-5 if operation.name.startswith("generator/") else 5e-6
            conditions.append(tf.reduce_min(tf.abs(operation.inputs[0])) > distance)
    for margins in (1.0 - real_logits, 1.0 + fake_logits):
        conditions += [tf.reduce_min(margins) < -0.01, tf.reduce_max(margins) > 0.01]
    return tf.reduce_all(conditions)


def set_variables(session: Any, variables: dict[str, Any], values: Arrays) -> None:
    """Assign each variable its value, in one call, because the session prepares the graph again for each operation."""
    initializers = {name: variable.initializer for name, variable in variables.items()}
    session.run(list(initializers.values()), {op.inputs[1]: values[name] for name, op in initializers.items()})


def compute_reference(batch_size: int, base_channels: int, num_classes: int, seed: int) -> Arrays:
    """Return the arrays of the file, see the docstring of this module."""
    rng = np.random.default_rng(seed)
    tf, _, generator, discriminator = import_tensorflow_gan()
    inputs = random_inputs(rng, batch_size, num_classes)
    placeholders = {name: tf.placeholder(value.dtype, value.shape) for name, value in inputs.items()}
    training, suitable = build_graph(tf, generator, discriminator, placeholders, base_channels, num_classes)
    variables = {variable.op.name: variable for variable in tf.global_variables()}
    inference, _ = generator.generator(
        placeholders["latents"], placeholders["labels"], base_channels, num_classes, training=False
    )
    if len(tf.global_variables()) != len(variables):
        raise RuntimeError("TF-GAN created new variables for inference instead of using those of training")
    # Each pass updates the vectors u.
    vectors = {name: variable for name, variable in variables.items() if name.endswith("_u")}
    before = random_values(rng, {name: tuple(v.shape.as_list()) for name, v in variables.items()})
    update_ops = tf.get_collection(tf.GraphKeys.UPDATE_OPS)
    with tf.Session() as session:
        set_variables(session, variables, before)
        for _ in range(MAX_TRIALS):
            feeds = {placeholders[name]: value for name, value in inputs.items()}
            if session.run(suitable, feeds):
                break
            set_variables(session, vectors, before)
            inputs = random_inputs(rng, batch_size, num_classes)
        else:
            raise RuntimeError(f"none of {MAX_TRIALS} draws of inputs was well conditioned")
        set_variables(session, vectors, before)
        results = {"inference_images": session.run(inference, feeds)}
        results |= session.run((training, update_ops), feeds)[0]
        after = session.run(variables)
    named = {f"before/{name}": value for name, value in before.items()}
    named |= {f"after/{name}": value for name, value in after.items()}
    return inputs | results | named


def main() -> None:
    """Read the command line, run TF-GAN and write the file."""
    parser = argparse.ArgumentParser(description="Write the results of TF-GAN's SAGAN for parity tests.")
    parser.add_argument("--output", required=True, help="the .npz file to write")
    parser.add_argument("--batch_size", type=int, default=4)
    parser.add_argument("--base_channels", type=int, default=8)
    parser.add_argument("--num_classes", type=int, default=7)
    # With some other seeds, sums nearly cancel, and TF-GAN's float32 gradients have errors of more than 1e-4.
    parser.add_argument("--seed", type=int, default=4)
    arguments = parser.parse_args()
    start = time.monotonic()
    sizes = (arguments.batch_size, arguments.base_channels, arguments.num_classes)
    arrays: dict[str, Any] = compute_reference(*sizes, arguments.seed)
    np.savez(arguments.output, **arrays)
    print(f"{arguments.output}: {len(arrays)} arrays, {time.monotonic() - start:.1f} s")


if __name__ == "__main__":
    main()
