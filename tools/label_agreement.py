"""How often a classifier that has only seen real images sees the class that a generated image was made for.

`python tools/label_agreement.py --run_dir=runs/quickstart` trains a small classifier on the packaged Fashion-MNIST
images (half a minute on two cores), then shows it images of the run's averaged generator. The classifier's accuracy on
real images that neither it nor the GAN has seen is the ceiling to compare with.
"""

from __future__ import annotations

import argparse
import pathlib
import sys

from sagan_tf.config import DataConfig
from sagan_tf.console import load_tensorflow
from sagan_tf.errors import UserError
from sagan_tf.flags import parse_config

_EPOCHS = 8
_BATCH_SIZE = 64


def main() -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tools/label_agreement.py", description=__doc__)
    parser.add_argument("--run_dir", type=pathlib.Path, required=True, help="a run on fashion_mnist_10k")
    parser.add_argument("--num_samples", type=int, default=10_000, help="generated images (default: 10000)")
    arguments = parser.parse_args()
    if arguments.num_samples < 1:
        parser.error(f"--num_samples: expected at least 1, received {arguments.num_samples}")
    try:
        measure(arguments.run_dir.expanduser(), arguments.num_samples)
    except UserError as error:
        sys.stderr.write(f"{parser.prog}: error: {error}\n")
        return 2
    return 0


def measure(run_dir: pathlib.Path, num_samples: int) -> None:
    """Trains the classifier, measures a run, prints a table."""
    load_tensorflow()
    import keras
    import numpy as np
    import tensorflow as tf

    from sagan_tf.data.pipeline import single_pass_dataset
    from sagan_tf.data.preprocessing import scale_to_unit_range
    from sagan_tf.data.sources import open_source
    from sagan_tf.training.checkpoints import load_averaged_generator
    from sagan_tf.training.sampling import LatentSampler, generate_images

    config = parse_config([f"--flagfile={run_dir / 'flags.cfg'}"])
    if config.data.dataset != "fashion_mnist_10k" or config.model.conditioning == "none":
        raise UserError(
            f"run_dir: expected a conditional run on fashion_mnist_10k, received one on {config.data.dataset}"
        )

    def real_images(split: str) -> tuple[np.ndarray, np.ndarray]:
        source = open_source(
            DataConfig(dataset="fashion_mnist_10k", split=split),
            resolution=config.model.resolution,
            image_channels=config.model.image_channels,
        )
        batches = list(single_pass_dataset(source, batch_size=1000).as_numpy_iterator())
        images = np.concatenate([batch["images"] for batch in batches])
        return scale_to_unit_range(images).numpy(), np.concatenate([batch["labels"] for batch in batches])

    generator, step = load_averaged_generator(config, run_dir / "checkpoints")
    keras.utils.set_random_seed(0)
    images, labels = real_images("train")
    classifier = build_classifier(images.shape[1:], config.model.num_classes, len(images) // _BATCH_SIZE * _EPOCHS)
    classifier.fit(images, labels, _BATCH_SIZE, _EPOCHS, verbose=0)

    def agreement(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return classifier.predict(images, batch_size=500, verbose=0).argmax(1) == labels

    unseen, unseen_labels = real_images("reference")
    real = agreement(unseen, unseen_labels)
    sampler = LatentSampler(1, config.model.latent_dim, config.model.num_classes, num_samples)
    latents, wanted = sampler.draw(tf.constant(0, tf.int64))
    generated = agreement(generate_images(generator, latents, wanted, batch_size=100), wanted.numpy())
    print(f"label agreement at step {step}: {generated.mean():.1%} of {num_samples} generated images")
    print(f"real images (the ceiling):    {real.mean():.1%} of {len(real)} that were not trained on")
    for label, name in enumerate(source_class_names(config)):
        ours, theirs = generated[wanted.numpy() == label].mean(), real[unseen_labels == label].mean()
        print(f"  {name:<12} generated {ours:6.1%}   real {theirs:6.1%}")


def source_class_names(config) -> tuple[str, ...]:  # type: ignore[no-untyped-def]
    """Names of the packaged classes."""
    from sagan_tf.data.sources import open_source

    return open_source(config.data, resolution=32, image_channels=1).class_names


def build_classifier(shape: tuple[int, ...], num_classes: int, num_updates: int):  # type: ignore[no-untyped-def]
    """A small convolutional classifier, compiled for `num_updates` updates."""
    import keras

    layers = [keras.Input(shape)]
    for filters in (16, 32, 64):
        layers += [
            keras.layers.Conv2D(filters, 3, padding="same", use_bias=False),
            keras.layers.BatchNormalization(),
            keras.layers.ReLU(),
            keras.layers.MaxPooling2D(),
        ]
    layers += [keras.layers.Flatten(), keras.layers.Dropout(0.4), keras.layers.Dense(64, "relu")]
    classifier = keras.Sequential([*layers, keras.layers.Dense(num_classes)])
    classifier.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, num_updates)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return classifier


if __name__ == "__main__":
    sys.exit(main())
