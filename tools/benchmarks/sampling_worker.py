"""Worker that generates batches of 128 px images, as arrays, with this project's generator."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from sagan_tf.config import ModelConfig
from sagan_tf.exporting.signatures import export_generator
from sagan_tf.exporting.tflite import TFLiteGenerator, convert_generator
from sagan_tf.generation.inference import compile_generator
from sagan_tf.networks import build_generator
from tools.benchmarks.sampling import FORMS
from tools.benchmarks.workers import serve

Generate = Callable[[tf.Tensor, tf.Tensor], Any]


def create_generate_function(form: str, generator: keras.Model, config: ModelConfig) -> Generate:
    """Return a function that generates images in one of the `FORMS`.

    Args:
        form: One of `FORMS`.
        generator: The generator.
        config: The configuration of the generator.

    Returns:
        A function of `latents` float32 [batch, latent_dim] and `labels` int32 [batch] that returns an array of images.
    """
    if form == "tflite":
        (_, model), *_ = convert_generator(generator, config, config.num_classes, ("float32",), {"class_names": []})
        lite = TFLiteGenerator(model)
        return lambda latents, labels: lite(latents.numpy(), labels.numpy())
    if form == "saved_model":
        exported = export_generator(generator, config.num_classes)
        with tempfile.TemporaryDirectory() as directory:
            tf.saved_model.save(exported.module, directory, signatures=exported.signatures)
            loaded = tf.saved_model.load(directory)
        return lambda latents, labels: loaded.signatures["serving_default"](latents=latents, labels=labels)[
            "images"
        ].numpy()
    if form == "keras":
        return lambda latents, labels: generator([latents, labels], training=False).numpy()
    compiled = compile_generator(generator)
    return lambda latents, labels: compiled(latents, labels).numpy()


def main() -> None:
    """Build the networks, warm up, and serve requests."""
    parser = argparse.ArgumentParser()
    for name in ("base_channels", "num_classes", "batch_size"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--form", choices=FORMS, required=True)
    options = parser.parse_args()
    config = ModelConfig(
        resolution=128,
        base_channels=options.base_channels,
        num_classes=options.num_classes,
        attention_resolutions=(32,),
    )
    generate = create_generate_function(options.form, build_generator(config), config)

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        latents = tf.random.normal([options.batch_size, config.latent_dim])
        labels = tf.random.uniform([options.batch_size], 0, config.num_classes, tf.int32)
        generate(latents, labels)
        return {"seconds": time.perf_counter() - start}

    run(), run()
    serve({}, run)


if __name__ == "__main__":
    main()
