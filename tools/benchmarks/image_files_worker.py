"""A generator as a worker of `tools/benchmarks/image_files.py`: alone, and with every picture saved."""

from __future__ import annotations

import argparse
import pathlib
import tempfile
import time
from typing import Any

import numpy as np

from sagan_tf.cli.flags import parse_config
from sagan_tf.config import Config, ModelConfig
from sagan_tf.generation.generators import Generator, as_generator, generator_of_run
from sagan_tf.generation.latents import latents_of_seeds
from sagan_tf.networks import build_generator
from sagan_tf.sampling.image_files import PictureSet, class_folders, write_pictures
from sagan_tf.sampling.images import png_maker
from tools.benchmarks.workers import serve


def main() -> None:
    """Open or builds, warms up and serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--batch_size", type=int, required=True)
    options = parser.parse_args()
    generator = _generator(options.run_dir)
    classes = max(generator.num_classes, 1)
    folders = class_folders(classes, ())
    pictures = PictureSet(generator.name, 0, options.images, tuple(range(classes)), folders, None)
    make = png_maker(generator, float("inf"))
    latents = latents_of_seeds(np.arange(options.batch_size), generator.latent_dim)

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        for _ in range(-(-options.images // options.batch_size)):
            generator.function(latents, np.arange(options.batch_size, dtype=np.int32) % classes).numpy()
        alone = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            write_pictures(
                pictures,
                make,
                pathlib.Path(folder),
                part=0,
                parts=1,
                batch_size=options.batch_size,
                overwrite=False,
            )
            files = time.perf_counter() - start
        return {"generator_seconds": alone, "files_seconds": files}

    run()
    serve({}, run)


def _generator(run_dir: str) -> Generator:
    if run_dir:
        return generator_of_run(run_dir, lambda path: parse_config([f"--flagfile={path}"]))
    model = ModelConfig(resolution=32, base_channels=16, num_classes=10, image_channels=1, attention_resolutions=(16,))
    return as_generator(build_generator(model), Config(model=model), (), "untrained")


if __name__ == "__main__":
    main()
