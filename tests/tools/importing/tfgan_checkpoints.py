"""Program that writes TF1 checkpoints of TF-GAN's SAGAN example, and the images of their generators.

TF-GAN needs TF1 graphs and Keras 2, hence a process of its own.

    python -m tests.tools.importing.tfgan_checkpoints DIRECTORY CHECKPOINT

| checkpoint     | content                                                                                         |
|----------------|-------------------------------------------------------------------------------------------------|
| `trained`      | width 4, 5 classes; two steps of TF-GAN's training, with Adam's slots and moving averages       |
| `plain`        | width 8, 3 classes, latents of 16; the networks alone, without the outer scope of GANEstimator  |
| `official`     | width 4, 4 classes; the names, spectral normalization and epsilon of the official code          |

The official code itself is not run. Its names and its estimate of sigma are written down here from its source, and
TF-GAN's networks, which have the same layers, use them.

For each checkpoint there is an .npz file of `latents`, `labels` and `images` in inference mode; and of
`averaged_images` if there are moving averages, or else of `logits`, the discriminator's outputs for `images`.
"""

from __future__ import annotations

import functools
import pathlib
import re
import sys
from typing import Any

import numpy as np

from tests.parity.tfgan_reference import random_values
from tools.tf_gan import import_tensorflow_gan

Arrays = dict[str, np.ndarray]

BATCH = 2
STEPS = 2


class Codes:
    """TF1, TF-GAN and networks in the default graph.

    Args:
        modules: The modules that `tools.tf_gan.import_tensorflow_gan` returns.
        base_channels: The width of the networks.
        num_classes: The number of classes.
        latent_dim: The length of the latents.
    """

    def __init__(self, modules: Any, base_channels: int, num_classes: int, latent_dim: int = 128) -> None:
        self.tf, self.tfgan, self._generator, self._discriminator = modules
        self._sizes = (base_channels, num_classes)
        self.rng = np.random.default_rng(base_channels)
        self.latents = self.tf.placeholder(self.tf.float32, [BATCH, latent_dim])
        self.labels = self.tf.placeholder(self.tf.int32, [BATCH])
        self.feeds = {
            self.latents: self.rng.normal(size=(BATCH, latent_dim)).astype(np.float32),
            self.labels: self.rng.integers(num_classes, size=BATCH).astype(np.int32),
        }

    def generate(self, latents: Any, training: bool) -> dict[str, Any]:
        """Return images and their labels, in the form of the example's estimator."""
        return {
            "images": self._generator.generator(latents, self.labels, *self._sizes, training=training)[0],
            "labels": self.labels,
        }

    def discriminate(self, data: dict[str, Any], _: Any = None) -> Any:
        """Return the logits of images and labels."""
        return self._discriminator.discriminator(data["images"], data["labels"], *self._sizes)[0]

    def create_session(self) -> Any:
        """Create a session whose networks have random variables, all with an effect.

        Slots of the optimizers have their initial values.
        """
        networks = {
            variable.op.name: variable
            for variable in self.tf.global_variables()
            if re.search("(generator|discriminator)/", name := variable.op.name) and not re.search("/Adam|/Exp", name)
        }
        shapes = {name: tuple(variable.shape.as_list()) for name, variable in networks.items()}
        values = random_values(self.rng, shapes)
        options = self.tf.ConfigProto()
        options.graph_options.rewrite_options.disable_meta_optimizer = True  # It takes longer than it saves.
        session = self.tf.Session(config=options)
        first = {networks[name].initializer.inputs[1]: value for name, value in values.items()}
        session.run(self.tf.global_variables_initializer(), first)
        return session

    def save_trained(self, prefix: str) -> Arrays:
        """Train as GANEstimator does, and save."""
        tf, tfgan = self.tf, self.tfgan
        real = {"images": tf.random.uniform([BATCH, 128, 128, 3], -1.0, 1.0, seed=1), "labels": self.labels}
        generate = functools.partial(self.generate, training=True)
        model = tfgan.gan_model(generate, self.discriminate, real, self.latents, check_shapes=False)
        # tfgan.gan_loss only calls these two functions, but it uses inspect.getargspec, which Python 3.11 removed.
        loss = tfgan.GANLoss(
            tfgan.losses.wasserstein_hinge_generator_loss(model, add_summaries=False),
            tfgan.losses.wasserstein_hinge_discriminator_loss(model, add_summaries=False),
        )
        step = tf.train.get_or_create_global_step()
        adams = tf.train.AdamOptimizer(1e-3, 0.0), tf.train.AdamOptimizer(4e-3, 0.0)
        updates = tfgan.gan_train_ops(model, loss, *adams)
        average = tf.train.ExponentialMovingAverage(0.5)
        averaged = tf.trainable_variables("Generator/")
        with tf.control_dependencies([updates.generator_train_op]):
            averaging = average.apply(averaged)
        with tf.variable_scope("Generator", reuse=True):
            images = self.generate(self.latents, training=False)["images"]
        with self.create_session() as session:
            for _ in range(STEPS):
                session.run(averaging, self.feeds)
                session.run(updates.discriminator_train_op, self.feeds)
                session.run(updates.global_step_inc_op)
            tf.train.Saver().save(session, prefix, global_step=step, write_meta_graph=False)
            found = {"images": session.run(images, self.feeds)}
            names = {average.average_name(variable): variable for variable in averaged}
            tf.train.Saver(names).restore(session, f"{prefix}-{STEPS}")
            return found | {"averaged_images": session.run(images, self.feeds)}

    def save_plain(self, prefix: str) -> Arrays:
        """Save networks of random values."""
        images, session = self._random_networks()
        self.tf.train.Saver().save(session, prefix, write_meta_graph=False)
        found = {"images": session.run(images, self.feeds)}
        return found | {"logits": self._compute_logits(session, found["images"])}

    def save_official(self, prefix: str) -> Arrays:
        """Save networks of random values with the official code's names."""
        use_official_arithmetic(self.tf, self.tfgan)
        images, session = self._random_networks()
        variables = {variable.op.name: variable for variable in self.tf.global_variables()}
        values = {name: value for name, value in session.run(variables).items() if name != "global_step"}
        found = {"images": session.run(images, self.feeds)}
        found["logits"] = self._compute_logits(session, found["images"])
        with self.tf.Graph().as_default(), self.tf.Session() as saving:
            for name, value in values.items():
                renamed, shape = official_name_and_shape(name, value.shape)
                self.tf.get_variable(renamed, initializer=value.reshape(shape))
            self.tf.get_variable("global_step", initializer=np.int64(7), trainable=False)
            saving.run(self.tf.global_variables_initializer())
            self.tf.train.Saver().save(saving, prefix, write_meta_graph=False)
        return found

    def _random_networks(self) -> tuple[Any, Any]:
        self._generated = self.generate(self.latents, training=False)
        self._logits = self.discriminate(self._generated)
        return self._generated["images"], self.create_session()

    def _compute_logits(self, session: Any, images: np.ndarray) -> np.ndarray:
        return session.run(self._logits, self.feeds | {self._generated["images"]: images})


def use_official_arithmetic(tf: Any, tfgan: Any) -> None:
    """Replace TF-GAN's arithmetic by that of the official code.

    Sigma is estimated from a u on the columns, weights are divided by sigma alone, and 1e-5 is added to a variance.
    """
    from tensorflow_gan.python.features import spectral_normalization

    def unit(vector: Any) -> Any:
        return vector / (tf.sqrt(tf.reduce_sum(vector**2)) + 1e-12)

    def estimate(w_tensor: Any, power_iteration_rounds: int = 1, training: bool = True, name: Any = None) -> Any:
        with tf.variable_scope(name, "spectral_norm"):
            w = tf.reshape(w_tensor, (-1, w_tensor.shape[-1]))
            u = tf.get_variable("spectral_norm_u", [1, w.shape[-1]], trainable=False)
            v = unit(tf.matmul(u, w, transpose_b=True))
            return tf.squeeze(tf.matmul(tf.matmul(v, w), unit(tf.matmul(v, w)), transpose_b=True))

    def normalize(w: Any, power_iteration_rounds: int = 1, equality_constrained: bool = True, training: bool = True,
                  name: Any = None) -> Any:  # fmt: skip
        return original(w, power_iteration_rounds, True, training, name)

    original = spectral_normalization.spectral_normalize
    spectral_normalization.compute_spectral_norm = estimate
    spectral_normalization.spectral_normalize = tfgan.features.spectral_normalize = normalize
    tfgan.tpu.batch_norm = functools.partial(tfgan.tpu.batch_norm, variance_epsilon=1e-5)


def official_name_and_shape(name: str, shape: tuple[int, ...]) -> tuple[str, tuple[int, ...]]:
    """Return the name and shape of a TF-GAN variable in the official code."""
    layer, *rest = re.sub("^(generator|discriminator)/", "", name).split("/")
    layer, kind = layer.replace("_ops", "_non_local"), rest[-1]
    if kind == "spectral_norm_u":
        scopes = rest[:1] if rest[0].startswith("sn") else []
        return "/".join(["model", layer, *scopes, "u"]), (1, shape[-1])
    kinds = {"kernel": "w", "weights": "w", "bias": "biases", "gamma": "gamma", "beta": "beta"}
    kinds |= {"embedding_map": "embedding_map", "sigma_ratio": "sigma_ratio"}
    if "dense" in rest:
        return f"model/{layer}/{'Matrix' if kind == 'kernel' else 'bias'}", shape
    if layer == "g_bn":
        return f"model/g_bn/{kind}", shape[-1:]
    if rest[0].startswith("cbn"):
        kinds |= {"moving_mean": "mean", "moving_variance": "var"}
        shape = (1, 1, 1, shape[-1]) if kind.startswith("moving") else (shape[0], shape[-1])
    scopes = rest[:1] if re.match("cbn|sn_?conv", rest[0]) else []
    return "/".join(["model", layer, *scopes, kinds[kind]]), shape


def main() -> None:
    """Write the checkpoint that the arguments name."""
    directory, name = pathlib.Path(sys.argv[1]), sys.argv[2]
    modules = import_tensorflow_gan()
    sizes = {"trained": (4, 5), "plain": (8, 3, 16), "official": (4, 4)}
    with modules[0].Graph().as_default():
        codes = Codes(modules, *sizes[name])
        found = getattr(codes, f"save_{name}")(str(directory / name))
        inputs = {"latents": codes.feeds[codes.latents], "labels": codes.feeds[codes.labels]}
        np.savez(directory / f"{name}.npz", **inputs, **found)


if __name__ == "__main__":
    main()
