"""A client of TensorFlow Serving, for Python and for the command line.

The command writes a sheet or a directory of images:

    python -m sagan_tf.serving.client --server=localhost:8500 --output=grid.png
"""

from __future__ import annotations

import argparse
import io
import os
import pathlib
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from sagan_tf.cli.console import run_command
from sagan_tf.config.dependent_options import CLIENT, check_dependent_options
from sagan_tf.data.images.file_names import has_files
from sagan_tf.data.images.limits import check_size
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_directory, check_can_write_file, write_atomically
from sagan_tf.serving.classes import Classes, read_classes
from sagan_tf.serving.connection import Client
from sagan_tf.serving.contract import MAX_BATCH_SIZE, MODEL_NAME, SERVING_DEFAULT
from sagan_tf.text import split_comma_list
from sagan_tf.visualization.image_grid import draw_image_sheet, is_sheet_size_allowed
from sagan_tf.visualization.output import write_image

__all__ = ["Client", "run", "write_images"]

_PROGRAM = "sagan_tf.serving.client"
_NUM_COLUMNS, _MAX_ROWS, _NUM_SAMPLES = 8, 10, 100
_MAX_SEED = 2**62
"""The seeds of the images after the first one also fit into 64 bits."""
_UNSUPPORTED_SUFFIXES = (".jpg", ".jpeg", ".html", ".npz", ".npy", ".zip")
"""Suffixes of files that this command does not write; a directory with such a name would be an error."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit status: 0, 2 for an error of the user, 130 when interrupted.
    """
    options = _create_parser().parse_args(arguments)
    try:
        sys.stdout.write(write_images(options) + "\n")
    except UserError as error:
        sys.stderr.write(f"{_PROGRAM}: error: {' '.join(str(error).splitlines())}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"{_PROGRAM}: interrupted\n")
        return 130
    return 0


def write_images(options: argparse.Namespace) -> str:
    """Request images and write them.

    Args:
        options: The options of the command line.

    Returns:
        A line that says what was written.

    Raises:
        UserError: If an option is wrong, the server gives no images or they cannot be written.
    """
    output = _check_output(options)
    classes = read_classes(options.model_card) if options.model_card else Classes()
    labels = classes.find_labels(_split_labels(options.labels))
    if not 0 <= options.seed <= _MAX_SEED:
        raise UserError(f"seed: expected 0 to {_MAX_SEED}, received {options.seed}")
    client = Client(
        options.server, rest=options.rest, model=options.model, version=options.version, timeout_s=options.timeout
    )
    with client:
        if output.suffix.lower() == ".png":
            rows = labels if options.labels else labels[:_MAX_ROWS]
            names = [classes.get_name(label) for label in rows] if options.labels or classes.count else []
            image = _request_sheet(client, rows, names, options)
            write_image(image, output)
            return str(output)
        count = _write_image_files(client, labels, output, options)
        return f"{count} images in {output}"


def _split_labels(text: str) -> list[str]:
    try:
        return split_comma_list(text)
    except ValueError as error:
        raise UserError(f"labels: {error}") from error


def _request_sheet(
    client: Client, labels: Sequence[int], names: Sequence[str], options: argparse.Namespace
) -> Image.Image:
    """Return a sheet with one row per class and the same seeds in every row."""
    columns = _NUM_COLUMNS if options.columns is None else options.columns
    side = client.signature(SERVING_DEFAULT).outputs["images"].shape[1]
    if columns < 1 or not is_sheet_size_allowed(columns, len(labels), max(int(side), 1)):
        raise UserError(
            f"columns: expected at least 1 and a sheet that image viewers can open, received {columns} columns x "
            f"{len(labels)} rows"
        )
    seeds = np.tile(options.seed + np.arange(columns), len(labels))
    files = client.generate(seeds, np.repeat(labels, columns), options.truncation)
    return draw_image_sheet(np.stack([_decode_png(file) for file in files]), columns, row_names=names)


def _write_image_files(
    client: Client, labels: Sequence[int], directory: pathlib.Path, options: argparse.Namespace
) -> int:
    """Write one file per image, named after its seed, and return the number of files.

    The classes take turns, as in `sagan_tf.sample --mode=images`.
    """
    count = _NUM_SAMPLES if options.num_samples is None else options.num_samples
    if count < 1:
        raise UserError(f"num_samples: expected at least 1, received {count}")
    for seeds in _split_into_batches(options.seed, count):
        files = client.generate(seeds, [labels[seed % len(labels)] for seed in seeds], options.truncation)
        try:
            for seed, file in zip(seeds, files, strict=True):
                write_atomically(directory / f"{seed:08d}.png", file)
        except OSError as error:
            raise UserError(f"output: cannot write into {directory}: {error.strerror or error}") from error
    return count


def _split_into_batches(seed: int, count: int) -> Iterator[range]:
    for start in range(seed, seed + count, MAX_BATCH_SIZE):
        yield range(start, min(start + MAX_BATCH_SIZE, seed + count))


def _decode_png(file: bytes) -> np.ndarray:
    """Return the image in a PNG file, uint8 [height, width, channels]."""
    try:
        with Image.open(io.BytesIO(file), formats=("PNG",)) as image:
            check_size(*image.size)
            pixels = np.asarray(image)
    except Exception as error:  # Pillow raises nearly every kind of exception for damaged files
        raise UserError(f"server: expected PNG files, received a file that cannot be decoded ({error})") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _check_output(options: argparse.Namespace) -> pathlib.Path:
    """Return the path to write, after checking that it can be written."""
    path = pathlib.Path(os.path.expanduser(options.output))
    is_sheet = path.suffix.lower() == ".png"
    if path.suffix.lower() in _UNSUPPORTED_SUFFIXES:
        raise UserError(f"output: expected a .png file or a directory, received {options.output}")
    if (path.is_dir() if is_sheet else path.exists() and not path.is_dir()) or not options.output:
        expected = ".png file" if is_sheet else "directory"
        raise UserError(f"output: expected a {expected}, received {options.output!r}")
    exists = path.exists() if is_sheet else path.is_dir() and has_files(path)
    if exists and not options.overwrite:
        raise UserError(f"output: {path} already exists; choose another --output or replace it with --overwrite")
    check_dependent_options(CLIENT, vars(options), {"num_samples": None, "columns": None})
    if is_sheet:
        check_can_write_file(path, "output")
    else:
        check_can_write_directory(path, "output")
    return path


def _create_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        usage=f"python -m {_PROGRAM} --server=HOST:PORT --output=PATH [--name=value ...]",
        description="Requests images from TensorFlow Serving. An image is determined by seed, class and truncation.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--server", required=True, help="HOST:PORT of the gRPC interface, or with --rest of the REST interface")
    add(
        "--output",
        required=True,
        help="a .png file for a sheet with one row per class, or a directory for one file per image",
    )
    add("--rest", action="store_true", help="use REST instead of gRPC")
    add("--model", default=MODEL_NAME, help="name of the model (default: %(default)s)")
    add("--version", type=int, help="version of the model (default: the newest)")
    add(
        "--labels",
        default="",
        help="comma list of classes by number or, with a model card, by name; a name with a comma in double quotes: "
        """--labels='"tench, Tinca tinca",3' """
        f"(default: the classes of the model card, in a sheet at most {_MAX_ROWS}; without a model card 0)",
    )
    add("--model_card", default="", help="model_card.json of the exported model, with the classes and their names")
    add("--seed", type=int, default=0, help="seed of the first image; the next images have the next seeds")
    add("--columns", type=int, help=f"images in a row of a sheet (default: {_NUM_COLUMNS})")
    add("--num_samples", type=int, help=f"images in a directory (default: {_NUM_SAMPLES})")
    add(
        "--truncation",
        type=float,
        help="cut the latents' distribution off at +-this value (default: no truncation)",
    )
    add("--timeout", type=float, default=60.0, help=f"seconds to wait for {MAX_BATCH_SIZE} images (default: 60)")
    add("--overwrite", action="store_true", help="replace an existing output")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(_PROGRAM, run))
