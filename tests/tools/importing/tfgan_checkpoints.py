"""Writes checkpoints of TF-GAN's SAGAN example as TF1 writes them, and the pictures that their generators make.

TF-GAN needs TF1 graphs and Keras 2: hence a process of its own.

    python -m tests.tools.importing.tfgan_checkpoints --output=FOLDER

| checkpoint     | what it is                                                                                      |
|----------------|-------------------------------------------------------------------------------------------------|
| `trained`      | width 4, 5 classes; two steps of TF-GAN's training, with Adam's slots and moving averages       |
| `plain`        | width 8, 3 classes, latents of 16; the networks alone, without the outer scope of GANEstimator  |
| `official`     | width 4, 4 classes; the official code's names, its spectral normalisation and epsilon           |

The official code itself is not run: its names and its estimate of sigma are written down here, after its source, and
TF-GAN's generator, which has the same layers, is made to use them.

Beside each lies an .npz file of `latents`, `labels` and `images` at inference; of `averaged_images` where there are
moving averages, or else of `logits`, the discriminator's for `images`.
"""

from __future__ import annotations

import argparse
import functools
import pathlib
import re
from typing import Any

import numpy as np

from tests.parity.tfgan_reference import random_values
from tools.tf_gan import import_tensorflow_gan

Arrays = dict[str, np.ndarray]

BATCH = 2
STEPS = 2


class Codes:
    """TF1 and TF-GAN, and what is built of them in the default graph.

    Args:
        base_channels, num_classes, latent_dim: of the networks.
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
        """Images and their labels, as the example's estimator has them."""
        return {
            "images": self._generator.generator(latents, self.labels, *self._sizes, training=training)[0],
            "labels": self.labels,
        }

    def judge(self, judged: dict[str, Any], _: Any = None) -> Any:
        """Logits."""
        return self._discriminator.discriminator(judged["images"], judged["labels"], *self._sizes)[0]

    def session(self) -> Any:
        """One with variables of which none in the networks is without effect; slots are as they begin."""
        networks = {
            variable.op.name: variable
            for variable in self.tf.global_variables()
            if re.search("(generator|discriminator)/", name := variable.op.name) and not re.search("/Adam|/Exp", name)
        }
        values = random_values(self.rng, {name: tuple(one.shape.as_list()) for name, one in networks.items()})
        options = self.tf.ConfigProto()
        options.graph_options.rewrite_options.disable_meta_optimizer = True  # longer than all it could save
        session = self.tf.Session(config=options)
        first = {networks[name].initializer.inputs[1]: value for name, value in values.items()}
        session.run(self.tf.global_variables_initializer(), first)
        return session

    def trained(self, prefix: str) -> Arrays:
        """Trains as GANEstimator does, and saves."""
        tf, tfgan = self.tf, self.tfgan
        real = {"images": tf.random.uniform([BATCH, 128, 128, 3], -1.0, 1.0, seed=1), "labels": self.labels}
        generate = functools.partial(self.generate, training=True)
        model = tfgan.gan_model(generate, self.judge, real, self.latents, check_shapes=False)
        # tfgan.gan_loss would only call these two, but uses inspect.getargspec, gone since Python 3.11.
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
        with self.session() as session:
            for _ in range(STEPS):
                session.run(averaging, self.feeds)
                session.run(updates.discriminator_train_op, self.feeds)
                session.run(updates.global_step_inc_op)
            tf.train.Saver().save(session, prefix, global_step=step, write_meta_graph=False)
            found = {"images": session.run(images, self.feeds)}
            tf.train.Saver({average.average_name(one): one for one in averaged}).restore(session, f"{prefix}-{STEPS}")
            return found | {"averaged_images": session.run(images, self.feeds)}

    def plain(self, prefix: str) -> Arrays:
        """Saves networks of random values."""
        images, session = self._random_networks()
        self.tf.train.Saver().save(session, prefix, write_meta_graph=False)
        found = {"images": session.run(images, self.feeds)}
        return found | {"logits": self._logits_of(session, found["images"])}

    def official(self, prefix: str) -> Arrays:
        """Saves networks of random values by the official code's names."""
        use_official_arithmetic(self.tf, self.tfgan)
        images, session = self._random_networks()
        variables = {one.op.name: one for one in self.tf.global_variables()}
        values = {name: value for name, value in session.run(variables).items() if name != "global_step"}
        found = {"images": session.run(images, self.feeds)}
        found["logits"] = self._logits_of(session, found["images"])
        with self.tf.Graph().as_default(), self.tf.Session() as saving:
            for name, value in values.items():
                renamed, shape = official_name_and_shape(name, value.shape)
                self.tf.get_variable(renamed, initializer=value.reshape(shape))
            self.tf.get_variable("global_step", initializer=np.int64(7), trainable=False)
            saving.run(self.tf.global_variables_initializer())
            self.tf.train.Saver().save(saving, prefix, write_meta_graph=False)
        return found

    def _random_networks(self) -> tuple[Any, Any]:
        self._judged = self.generate(self.latents, training=False)
        self._logits = self.judge(self._judged)
        return self._judged["images"], self.session()

    def _logits_of(self, session: Any, images: np.ndarray) -> np.ndarray:
        return session.run(self._logits, self.feeds | {self._judged["images"]: images})


def use_official_arithmetic(tf: Any, tfgan: Any) -> None:
    """Makes TF-GAN estimate sigma from a u on the columns, divide by sigma alone, and add 1e-5 to a variance."""
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
    """What the official code calls TF-GAN's variable, and its shape there."""
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
    """Writes all three."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, help="the folder to write to")
    folder = pathlib.Path(parser.parse_args().output)
    modules = import_tensorflow_gan()
    sizes = {"trained": (4, 5), "plain": (8, 3, 16), "official": (4, 4)}  # the last one changes TF-GAN
    for name, size in sizes.items():
        with modules[0].Graph().as_default():
            codes = Codes(modules, *size)
            found = getattr(codes, name)(str(folder / name))
            inputs = {"latents": codes.feeds[codes.latents], "labels": codes.feeds[codes.labels]}
            np.savez(folder / f"{name}.npz", **inputs, **found)


if __name__ == "__main__":
    main()
