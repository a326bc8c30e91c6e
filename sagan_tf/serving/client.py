"""A client of TensorFlow Serving: `Client`, and its command line, which writes a sheet or a folder of pictures.

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
from sagan_tf.serving.contract import LARGEST_BATCH, MODEL_NAME, SERVING_DEFAULT
from sagan_tf.text import split_comma_list
from sagan_tf.visualization.image_grid import fits, sheet
from sagan_tf.visualization.output import write_picture

__all__ = ["Client", "make_pictures", "run"]

_PROGRAM = "sagan_tf.serving.client"
_COLUMNS, _MOST_ROWS, _NUM_SAMPLES = 8, 10, 100
_LAST_SEED = 2**62
"""So that those of the pictures after it are numbers of 64 bits too."""
_MAKES_NO_FOLDER = (".jpg", ".jpeg", ".html", ".npz", ".npy", ".zip")
"""What would be a mistake for a folder's name."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Return the command line; return the exit status: 0, 2 for a user's mistake, 130 when interrupted."""
    options = _parser().parse_args(arguments)
    try:
        sys.stdout.write(make_pictures(options) + "\n")
    except UserError as error:
        sys.stderr.write(f"{_PROGRAM}: error: {' '.join(str(error).splitlines())}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write(f"{_PROGRAM}: interrupted\n")
        return 130
    return 0


def make_pictures(options: argparse.Namespace) -> str:
    """Ask for the pictures and write them; return what to say about it.

    Raises:
        UserError: of all that may be wrong.
    """
    output = _output(options)
    classes = read_classes(options.model_card) if options.model_card else Classes()
    labels = classes.labels(_split_labels(options.labels))
    if not 0 <= options.seed <= _LAST_SEED:
        raise UserError(f"seed: expected 0 to {_LAST_SEED}, received {options.seed}")
    client = Client(
        options.server, rest=options.rest, model=options.model, version=options.version, timeout_s=options.timeout
    )
    with client:
        if output.suffix.lower() == ".png":
            rows = labels if options.labels else labels[:_MOST_ROWS]
            names = [classes.name(label) for label in rows] if options.labels or classes.count else []
            picture = _grid(client, rows, names, options)
            write_picture(picture, output)
            return str(output)
        count = _write_files(client, labels, output, options)
        return f"{count} pictures in {output}"


def _split_labels(text: str) -> list[str]:
    try:
        return split_comma_list(text)
    except ValueError as error:
        raise UserError(f"labels: {error}") from error


def _grid(client: Client, labels: Sequence[int], names: Sequence[str], options: argparse.Namespace) -> Image.Image:
    """Return a row a class, the same seeds in every row."""
    columns = _COLUMNS if options.columns is None else options.columns
    side = client.signature(SERVING_DEFAULT).outputs["images"].shape[1]
    if columns < 1 or not fits(columns, len(labels), max(int(side), 1)):
        raise UserError(
            f"columns: expected at least 1 and a sheet that can be opened, received {columns} x {len(labels)} pictures"
        )
    seeds = np.tile(options.seed + np.arange(columns), len(labels))
    files = client.generate(seeds, np.repeat(labels, columns), options.truncation)
    return sheet(np.stack([_pixels(file) for file in files]), columns, row_names=names)


def _write_files(client: Client, labels: Sequence[int], folder: pathlib.Path, options: argparse.Namespace) -> int:
    """One file a picture, named by its seed; classes take turns, as in `sagan_tf.sample --mode=images`."""
    count = _NUM_SAMPLES if options.num_samples is None else options.num_samples
    if count < 1:
        raise UserError(f"num_samples: expected at least 1, received {count}")
    for seeds in _batches(options.seed, count):
        files = client.generate(seeds, [labels[seed % len(labels)] for seed in seeds], options.truncation)
        try:
            for seed, file in zip(seeds, files, strict=True):
                write_atomically(folder / f"{seed:08d}.png", file)
        except OSError as error:
            raise UserError(f"output: expected to write into {folder}, received {error.strerror or error}") from error
    return count


def _batches(seed: int, count: int) -> Iterator[range]:
    for start in range(seed, seed + count, LARGEST_BATCH):
        yield range(start, min(start + LARGEST_BATCH, seed + count))


def _pixels(file: bytes) -> np.ndarray:
    """Return the picture in a PNG file, uint8 [height, width, channels]."""
    try:
        with Image.open(io.BytesIO(file), formats=("PNG",)) as picture:
            check_size(*picture.size)
            pixels = np.asarray(picture)
    except Exception as error:  # Pillow raises nearly every kind of exception on damaged files
        raise UserError("server: expected PNG files, received something else") from error
    return pixels[..., None] if pixels.ndim == 2 else pixels


def _output(options: argparse.Namespace) -> pathlib.Path:
    """Where the pictures go, before any is asked for."""
    path = pathlib.Path(os.path.expanduser(options.output))
    is_sheet = path.suffix.lower() == ".png"
    if path.suffix.lower() in _MAKES_NO_FOLDER:
        raise UserError(f"output: expected a .png file or a folder, received {options.output}")
    if (path.is_dir() if is_sheet else path.exists() and not path.is_dir()) or not options.output:
        raise UserError(f"output: expected a {'.png file' if is_sheet else 'folder'}, received {options.output!r}")
    is_there = path.exists() if is_sheet else path.is_dir() and has_files(path)
    if is_there and not options.overwrite:
        raise UserError(f"output: expected one that is not there yet, received {path}; --overwrite writes over it")
    check_dependent_options(CLIENT, vars(options), {"num_samples": None, "columns": None})
    if is_sheet:
        check_can_write_file(path, "output")
    else:
        check_can_write_directory(path, "output")
    return path


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        usage=f"python -m {_PROGRAM} --server=HOST:PORT --output=PATH [--name=value ...]",
        description="Asks TensorFlow Serving for pictures. A seed, a class and a truncation make a picture.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--server", required=True, help="HOST:PORT of its gRPC interface, or with --rest of its REST interface")
    add("--output", required=True, help="a .png file for a sheet, a row a class; else a folder for one file a picture")
    add("--rest", action="store_true", help="ask by REST instead of gRPC")
    add("--model", default=MODEL_NAME, help="name of the model (default: %(default)s)")
    add("--version", type=int, help="version of the model (default: the newest)")
    add(
        "--labels",
        default="",
        help="comma list of classes, by number or, with a card, by name; a name with a comma in double quotes: "
        """--labels='"tench, Tinca tinca",3' """
        f"(default: those of the card, in a sheet at most {_MOST_ROWS}; without a card 0)",
    )
    add("--model_card", default="", help="model_card.json of the exported model: knows the classes and their names")
    add("--seed", type=int, default=0, help="seed of the first picture; the next have the seeds after it")
    add("--columns", type=int, help=f"pictures in a row of a sheet (default: {_COLUMNS})")
    add("--num_samples", type=int, help=f"pictures in a folder (default: {_NUM_SAMPLES})")
    add("--truncation", type=float, help="cut the latents off at +-this value (default: not at all)")
    add("--timeout", type=float, default=60.0, help=f"seconds to wait for {LARGEST_BATCH} pictures (default: 60)")
    add("--overwrite", action="store_true", help="replace an output that is there")
    return parser


if __name__ == "__main__":
    sys.exit(run_command(_PROGRAM, run))
