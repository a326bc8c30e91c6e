"""Training of the packaged Fashion-MNIST classifier (`sagan_tf/features/fashion_mnist_classifier.py`).

    python tools/train_fashion_mnist_classifier.py --output=FILE.npz

The classifier is trained on the 10,000 packaged training images, randomly shifted and flipped, and is tested once, at
the end, on the 2,000 reference images. This takes about fifteen minutes on two cores.
"""

from __future__ import annotations

import dataclasses
import io
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.cli.load_tensorflow import load_tensorflow
from sagan_tf.config.option import check_at_least_zero, check_given, check_positive, option
from sagan_tf.files import check_can_write_file, write_result_atomically

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

_MAX_SHIFT_PIXELS = 2


@dataclasses.dataclass(frozen=True)
class ClassifierOptions:
    """Options of the training of the classifier."""

    output: str = option("", "The .npz file to write.")
    epochs: int = option(50, "Passes over the training images.")
    batch_size: int = option(64, "Images of an update.")
    seed: int = option(0, "Seed of the initial weights, the order of the images and their changes.")

    def __post_init__(self) -> None:
        check_given(self, "output")
        check_positive(self, "epochs", "batch_size")
        check_at_least_zero(self, "seed")


def load_images_and_labels(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Load a packaged split as the networks receive it.

    Returns:
        Images, float32 [n, 32, 32, 1] in [-1, 1], and labels, int64 [n].
    """
    from sagan_tf.data.images.preprocessing import scale_to_unit_range
    from sagan_tf.data.sources.packaged import load_arrays, resize_gray_images
    from sagan_tf.features.fashion_mnist_classifier import RESOLUTION

    images, labels, _ = load_arrays(split)
    return scale_to_unit_range(resize_gray_images(images, RESOLUTION)).numpy(), labels


def shift_and_flip(image: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Shift an image randomly by up to two pixels, and flip it at random."""
    import tensorflow as tf

    size = image.shape[0]
    paddings = [[_MAX_SHIFT_PIXELS] * 2, [_MAX_SHIFT_PIXELS] * 2, [0, 0]]
    padded = tf.pad(image, paddings, constant_values=-1.0)
    return tf.image.stateless_random_flip_left_right(
        tf.image.stateless_random_crop(padded, [size, size, 1], seed), seed + 1
    )


def train_classifier(epochs: int, batch_size: int, seed: int) -> keras.Model:
    """Train the classifier and return it."""
    import keras
    import tensorflow as tf

    from sagan_tf.features.fashion_mnist_classifier import NUM_CLASSES, build_classifier

    keras.utils.set_random_seed(seed)
    images, labels = load_images_and_labels("train")
    counter = tf.data.Dataset.counter()
    data = tf.data.Dataset.from_tensor_slices((images, tf.one_hot(labels, NUM_CLASSES)))
    data = tf.data.Dataset.zip(data.shuffle(len(images), seed=seed).repeat(epochs), counter)
    data = data.map(lambda pair, count: (shift_and_flip(pair[0], tf.stack([count, seed])), pair[1]), tf.data.AUTOTUNE)
    classifier = build_classifier(dropout=0.3)
    steps = len(images) // batch_size
    rate = keras.optimizers.schedules.CosineDecay(1e-7, epochs * steps, warmup_target=3e-3, warmup_steps=2 * steps)
    logits_only = keras.Model(classifier.input, classifier.outputs[1])
    logits_only.compile(
        keras.optimizers.AdamW(rate, weight_decay=5e-3),
        keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
        metrics=["accuracy"],
    )
    logits_only.fit(data.batch(batch_size, drop_remainder=True).prefetch(2), epochs=1, verbose=2)
    return classifier


def main(options: ClassifierOptions) -> None:
    """Train the classifier, print its accuracy and write its weights in 16 bits.

    Raises:
        UserError: The output cannot be written.
    """
    output = pathlib.Path(os.path.expanduser(options.output))
    check_can_write_file(output, "output")
    load_tensorflow()
    classifier = train_classifier(options.epochs, options.batch_size, options.seed)
    rounded = [weight.astype(np.float16) for weight in classifier.get_weights()]
    classifier.set_weights([weight.astype(np.float32) for weight in rounded])
    images, labels = load_images_and_labels("reference")
    correct = classifier.predict(images, batch_size=500, verbose=0)[1].argmax(1) == labels
    content = io.BytesIO()
    np.savez_compressed(content, **{f"weight_{index:02d}": weight for index, weight in enumerate(rounded)})
    print(f"{correct.mean():.2%} of {len(labels)} test images")
    write_result_atomically(output, "output", content.getvalue())
    print(f"{len(content.getvalue()):,} bytes in {output}")


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    program = "tools/train_fashion_mnist_classifier.py"
    return run_command_line(program, __doc__, main, ClassifierOptions, argv=argv)


if __name__ == "__main__":
    sys.exit(run())
