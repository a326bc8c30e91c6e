"""Worker of `tools/benchmarks/image_files.py` that times a generator alone, and with every image saved."""

from __future__ import annotations

import argparse
import pathlib
import tempfile
import time
from typing import Any

import numpy as np

from sagan_tf.config import Config, ModelConfig
from sagan_tf.generation.generators import Generator, create_generator_from_network, load_generator_from_run
from sagan_tf.generation.latents import draw_latents_from_seeds
from sagan_tf.networks import build_generator
from sagan_tf.sampling.image_files import write_images
from sagan_tf.sampling.image_set import ImageSet, choose_class_directories
from sagan_tf.sampling.images import compile_png_function
from tools.benchmarks.workers import serve


def main() -> None:
    """Open or build the generator, warm up, and serve requests."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--run_dir", required=True)
    parser.add_argument("--images", type=int, required=True)
    parser.add_argument("--batch_size", type=int, required=True)
    options = parser.parse_args()
    generator = _open_generator(options.run_dir)
    classes = max(generator.num_classes, 1)
    directories = choose_class_directories(classes, ())
    images = ImageSet(generator.name, 0, options.images, tuple(range(classes)), directories, None)
    generate_png = compile_png_function(generator, float("inf"))
    latents = draw_latents_from_seeds(np.arange(options.batch_size), generator.latent_dim)

    def run() -> dict[str, Any]:
        start = time.perf_counter()
        for _ in range(-(-options.images // options.batch_size)):
            generator.function(latents, np.arange(options.batch_size, dtype=np.int32) % classes).numpy()
        generator_seconds = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as directory:
            start = time.perf_counter()
            write_images(
                images,
                generate_png,
                pathlib.Path(directory),
                shard=0,
                num_shards=1,
                batch_size=options.batch_size,
                overwrite=False,
            )
            files_seconds = time.perf_counter() - start
        return {"generator_seconds": generator_seconds, "files_seconds": files_seconds}

    run()
    serve({}, run)


def _open_generator(run_dir: str) -> Generator:
    if run_dir:
        return load_generator_from_run(run_dir)
    model = ModelConfig(resolution=32, base_channels=16, num_classes=10, image_channels=1, attention_resolutions=(16,))
    return create_generator_from_network(build_generator(model), Config(model=model), (), "untrained")


if __name__ == "__main__":
    main()
