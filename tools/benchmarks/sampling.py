"""Time to generate single images and batches of images."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from sagan_tf.config import ModelConfig
from sagan_tf.config.option import check_positive, option
from sagan_tf.errors import UserError
from tools.benchmarks.measure import Measurement, Timing, check_rounds, compute_median_ratio
from tools.benchmarks.worker_process import Worker

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

FORMS = ("compiled", "keras", "saved_model", "tflite")
"""Forms of this project's generator: as `sagan_tf.sample` runs it, as a Keras model, and as its two exports."""

_RESOLUTION = 128


@dataclasses.dataclass(frozen=True)
class SamplingOptions:
    """Options of the generator, its forms and the peer."""

    base_channels: int = option(64, "Base channels of the generator.")
    num_classes: int = option(1000, "Number of classes.")
    batch_sizes: tuple[int, ...] = option((1, 16), "Comma list of the images in a batch.")
    forms: tuple[str, ...] = option(("compiled",), "Comma list of the forms of the generator.", choices=FORMS)
    peer: str = option("none", "tf_gan: the generator of TF-GAN's example.", choices=("none", "tf_gan"))
    rounds: int = option(11, "Measured batches of each, in turns.")

    def __post_init__(self) -> None:
        check_rounds(self.rounds)
        check_positive(self, "base_channels", "num_classes")
        if not self.batch_sizes or min(self.batch_sizes) < 1:
            received = ",".join(map(str, self.batch_sizes))
            raise UserError(f"batch_sizes: expected a comma list of numbers above 0, received {received!r}")
        if not self.forms:
            raise UserError(f"forms: expected a comma list of {', '.join(FORMS)}, received ''")


OPTIONS = (SamplingOptions,)


def run(options: SamplingOptions) -> dict[str, Any]:
    """Measure generators of 128 px images.

    Args:
        options: The options of the benchmark.

    Returns:
        The sizes, and for each batch size and generator the measurements. `seconds` is the median over the rounds, and
        `ratio` the median of the peer's seconds / this project's.
    """
    batches = {str(batch_size): _measure_batch_size(options, batch_size) for batch_size in options.batch_sizes}
    return {"sizes": {"resolution": _RESOLUTION, "base_channels": options.base_channels}, "batch_sizes": batches}


def format_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a table of the result of `run`."""
    table = [["batch", "", "a batch, median (least to most)", "images/s", "ratio"]]
    for batch_size, measured in result["batch_sizes"].items():
        for name, figures in measured.items():
            ratio = f"{figures['ratio']:.2f}" if "ratio" in figures else ""
            timing = str(Timing(tuple(figures["all_seconds"])))
            table.append([batch_size, name, timing, f"{figures['images_per_second']:.1f}", ratio])
    return table


def _measure_batch_size(options: SamplingOptions, batch_size: int) -> dict[str, Any]:
    sizes = {"base_channels": options.base_channels, "num_classes": options.num_classes, "batch_size": batch_size}
    with contextlib.ExitStack() as stack:
        workers = {form: stack.enter_context(Worker("sampling", sizes | {"form": form})) for form in options.forms}
        if options.peer == "tf_gan":
            workers["tf_gan"] = stack.enter_context(Worker("tf_gan_sampling", sizes))
        for worker in workers.values():
            worker.wait_until_ready()
        rounds = [{name: worker.run()["seconds"] for name, worker in workers.items()} for _ in range(options.rounds)]
    measured: dict[str, Any] = {}
    for name in workers:
        timing = Timing(tuple(seconds[name] for seconds in rounds))
        speed = batch_size / timing.median
        measured[name] = {"seconds": timing.median, "all_seconds": timing.seconds, "images_per_second": speed}
    if "tf_gan" in measured:
        peer = measured["tf_gan"]["all_seconds"]
        for form in options.forms:
            measured[form]["ratio"] = compute_median_ratio(peer, measured[form]["all_seconds"])
    return measured


def prepare_sampling(*, form: str, base_channels: int, num_classes: int, batch_size: int) -> Measurement:
    """Build the generator in one of the `FORMS`, and generate two batches to warm up.

    Returns:
        The measurement of a batch of 128 px images, as an array.
    """
    import tensorflow as tf

    from sagan_tf.networks import build_generator

    config = ModelConfig(
        resolution=_RESOLUTION, base_channels=base_channels, num_classes=num_classes, attention_resolutions=(32,)
    )
    generate = _create_generate_function(form, build_generator(config), config)

    def measure() -> dict[str, Any]:
        start = time.perf_counter()
        latents = tf.random.normal([batch_size, config.latent_dim])
        labels = tf.random.uniform([batch_size], 0, num_classes, tf.int32)
        generate(latents, labels)
        return {"seconds": time.perf_counter() - start}

    measure(), measure()
    return Measurement(measure)


def _create_generate_function(
    form: str, generator: keras.Model, config: ModelConfig
) -> Callable[[tf.Tensor, tf.Tensor], Any]:
    """Return a function of latents and labels that returns an array of images."""
    import tensorflow as tf

    from sagan_tf.exporting.signatures import export_generator
    from sagan_tf.exporting.tflite import TFLiteGenerator, convert_generator
    from sagan_tf.generation.inference import compile_generator

    if form == "tflite":
        (_, model), *_ = convert_generator(generator, config, config.num_classes, ("float32",), {"class_names": []})
        lite = TFLiteGenerator(model)
        return lambda latents, labels: lite(latents.numpy(), labels.numpy())
    if form == "saved_model":
        exported = export_generator(generator, config.num_classes)
        with tempfile.TemporaryDirectory() as directory:
            tf.saved_model.save(exported.module, directory, signatures=exported.signatures)
            loaded = tf.saved_model.load(directory)  # Its signatures do not keep the weights alive.
        return lambda latents, labels: loaded.signatures["serving_default"](latents=latents, labels=labels)[
            "images"
        ].numpy()
    if form == "keras":
        return lambda latents, labels: generator([latents, labels], training=False).numpy()
    compiled = compile_generator(generator)
    return lambda latents, labels: compiled(latents, labels).numpy()
