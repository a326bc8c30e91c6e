"""Speed of writing generated images as PNG files, compared with the generator alone."""

from __future__ import annotations

import dataclasses
import pathlib
import tempfile
import time
from typing import TYPE_CHECKING, Any

from sagan_tf.config.option import check_positive, option
from tools.benchmarks.measure import Measurement, Timing, compute_median_ratio
from tools.benchmarks.worker_process import Worker

if TYPE_CHECKING:
    from sagan_tf.generation.generators import Generator


@dataclasses.dataclass(frozen=True)
class ImageFilesOptions:
    """Options of the generator and its images."""

    run_dir: str = option("", "Directory of a run; empty: an untrained generator, whose noise is slow to compress.")
    images: int = option(10_000, "Images in a measurement.")
    batch_size: int = option(64, "Images in a batch.")
    rounds: int = option(5, "Number of measurements of each generator; the generators alternate.")

    def __post_init__(self) -> None:
        check_positive(self, "images", "batch_size", "rounds")


OPTIONS = (ImageFilesOptions,)


def run(options: ImageFilesOptions) -> dict[str, Any]:
    """Measure the generator alone and with files.

    Args:
        options: The options of the benchmark.

    Returns:
        The sizes and the seconds of every round. `share_of_generator` is the speed of writing files as a share of the
        generator's speed, the median over the rounds.
    """
    sizes = {"run_dir": options.run_dir, "images": options.images, "batch_size": options.batch_size}
    with Worker("image_files", sizes) as worker:
        worker.wait_until_ready()
        rounds = [worker.run() for _ in range(options.rounds)]
    generator, files = ([measured[name] for measured in rounds] for name in ("generator_seconds", "files_seconds"))
    return {
        "sizes": sizes,
        "generator_seconds": generator,
        "files_seconds": files,
        "share_of_generator": compute_median_ratio(generator, files),
    }


def format_rows(result: dict[str, Any]) -> list[list[str]]:
    """Return the rows of a table of the result of `run`."""
    images = result["sizes"]["images"]
    table = [[f"{images:,} images", "median (least to most)", "images/s"]]
    for name in ("generator", "files"):
        timing = Timing(tuple(result[f"{name}_seconds"]))
        table.append([name, str(timing), f"{images / timing.median:.0f}"])
    return [*table, ["files against generator", f"{result['share_of_generator']:.0%} of its speed", ""]]


def prepare_image_files(*, run_dir: str, images: int, batch_size: int) -> Measurement:
    """Open or build the generator, and measure once to warm up.

    Returns:
        The measurement of the generator alone, and of writing its images as PNG files.
    """
    import numpy as np

    from sagan_tf.generation.latents import draw_latents_from_seeds
    from sagan_tf.sampling.image_files import write_images
    from sagan_tf.sampling.image_set import ImageSet, choose_class_directories
    from sagan_tf.sampling.images import compile_png_function

    generator = _open_generator(run_dir)
    classes = max(generator.num_classes, 1)
    class_directories = choose_class_directories(classes, ())
    image_set = ImageSet(generator.name, 0, images, tuple(range(classes)), class_directories, None)
    generate_png = compile_png_function(generator, float("inf"))
    latents = draw_latents_from_seeds(np.arange(batch_size), generator.latent_dim)
    labels: np.ndarray = np.arange(batch_size, dtype=np.int32) % classes

    def measure() -> dict[str, Any]:
        start = time.perf_counter()
        for _ in range(-(-images // batch_size)):
            generator.function(latents, labels).numpy()
        generator_seconds = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as directory:
            start = time.perf_counter()
            output = pathlib.Path(directory)
            write_images(image_set, generate_png, output, shard=0, num_shards=1, batch_size=batch_size, overwrite=False)
            files_seconds = time.perf_counter() - start
        return {"generator_seconds": generator_seconds, "files_seconds": files_seconds}

    measure()
    return Measurement(measure)


def _open_generator(run_dir: str) -> Generator:
    from sagan_tf.config import Config, ModelConfig
    from sagan_tf.generation.generators import create_generator_from_network, load_generator_from_run
    from sagan_tf.networks import build_generator

    if run_dir:
        return load_generator_from_run(run_dir)
    model = ModelConfig(resolution=32, base_channels=16, num_classes=10, image_channels=1, attention_resolutions=(16,))
    return create_generator_from_network(build_generator(model), Config(model=model), (), "untrained")
