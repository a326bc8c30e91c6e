"""Request images from TensorFlow Serving and write a sheet or a directory of images.

    python -m sagan_tf.serving.client --server=localhost:8500 --output=grid.png

An image is determined by seed, class and truncation. Programs use `Client`; see `sagan_tf.serving.connection`.
"""

from __future__ import annotations

import io
import logging
import pathlib
import re
import sys
from collections.abc import Sequence

import numpy as np
from PIL import Image

from sagan_tf.cli.command_line import run_command_line
from sagan_tf.data.images.file_names import has_files
from sagan_tf.data.images.limits import check_size
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_directory, check_can_write_file, write_atomically
from sagan_tf.serving.classes import Classes, read_classes
from sagan_tf.serving.connection import Client
from sagan_tf.serving.contract import MAX_BATCH_SIZE, SERVING_DEFAULT
from sagan_tf.serving.options import DEFAULT_COLUMNS, DEFAULT_NUM_SAMPLES, MAX_ROWS, ClientOptions
from sagan_tf.visualization.image_grid import draw_image_sheet, is_sheet_size_allowed
from sagan_tf.visualization.output import write_image

__all__ = ["Client", "main", "run"]

_IMAGE_FILE = re.compile(r"\d{8,}\.png")
"""Name of the file of an image, its seed."""


def main(options: ClientOptions) -> None:
    """Request the images that the options describe, write them and print a line that says so.

    Raises:
        UserError: If an option is wrong, the server gives no images or they cannot be written.
    """
    # An error is reported by an exception, and this command prints one line for it, without the warnings of urllib3.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    output = options.get_path()
    _check_output(output, options)
    classes = read_classes(options.model_card) if options.model_card else Classes()
    labels = classes.find_labels(options.labels)
    with Client(
        options.server, rest=options.rest, model=options.model, version=options.version, timeout_s=options.timeout
    ) as client:
        if options.is_sheet:
            rows = labels if options.labels else labels[:MAX_ROWS]
            names = [classes.get_name(label) for label in rows] if options.labels or classes.count else []
            write_image(_request_sheet(client, rows, names, options), output)
            sys.stdout.write(f"{output}\n")
        else:
            count = options.num_samples or DEFAULT_NUM_SAMPLES
            _write_image_files(client, labels, range(options.seed, options.seed + count), output, options.truncation)
            sys.stdout.write(f"{count} images in {output}\n")


def _request_sheet(client: Client, labels: Sequence[int], names: Sequence[str], options: ClientOptions) -> Image.Image:
    """Return a sheet with one row per class and the same seeds in every row."""
    columns = options.columns or DEFAULT_COLUMNS
    side = client.signature(SERVING_DEFAULT).outputs["images"].shape[1]
    if not is_sheet_size_allowed(columns, len(labels), max(int(side), 1)):
        raise UserError(
            f"columns: expected a sheet that image viewers can open, received {columns} columns x {len(labels)} rows"
        )
    seeds = np.tile(options.seed + np.arange(columns), len(labels))
    files = client.generate(seeds, np.repeat(labels, columns), options.truncation)
    return draw_image_sheet(np.stack([_decode_png(file) for file in files]), columns, row_names=names)


def _remove_image_files(directory: pathlib.Path) -> None:
    """Remove the images of earlier calls, so that a directory has images of one model only."""
    for path in directory.glob("*.png"):
        if _IMAGE_FILE.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _write_image_files(
    client: Client, labels: Sequence[int], seeds: range, directory: pathlib.Path, truncation: float | None
) -> None:
    """Write one file per image, named after its seed.

    The classes take turns, as in `sagan_tf.sample --mode=images`.
    """
    for start in range(0, len(seeds), MAX_BATCH_SIZE):
        batch = seeds[start : start + MAX_BATCH_SIZE]
        files = client.generate(batch, [labels[seed % len(labels)] for seed in batch], truncation)
        try:
            if not start:  # The server has answered.
                _remove_image_files(directory)
            for seed, file in zip(batch, files, strict=True):
                write_atomically(directory / f"{seed:08d}.png", file)
        except OSError as error:
            raise UserError(f"output: cannot write into {directory}: {error.strerror or error}") from error


def _decode_png(file: bytes) -> np.ndarray:
    """Return the image in a PNG file, uint8 [height, width, channels]."""
    try:
        with Image.open(io.BytesIO(file), formats=("PNG",)) as image:
            check_size(*image.size)
            pixels = np.asarray(image)
    except Exception as error:  # Pillow raises nearly every kind of exception for damaged files
        raise UserError(f"server: expected PNG files, received a file that cannot be decoded ({error})") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _check_output(path: pathlib.Path, options: ClientOptions) -> None:
    """Check that the output can be written."""
    is_sheet = options.is_sheet
    if path.is_dir() if is_sheet else path.exists() and not path.is_dir():
        expected = ".png file" if is_sheet else "directory"
        raise UserError(f"output: expected a {expected}, received {options.output!r}")
    exists = path.exists() if is_sheet else path.is_dir() and has_files(path)
    if exists and not options.overwrite:
        raise UserError(f"output: {path} already exists; choose another --output or replace it with --overwrite")
    if is_sheet:
        check_can_write_file(path, "output")
    else:
        check_can_write_directory(path, "output")


def run(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit status."""
    return run_command_line("sagan_tf.serving.client", __doc__, main, ClientOptions, argv=argv)


if __name__ == "__main__":
    sys.exit(run())
