"""Prepares all 70,000 images of Fashion-MNIST as record files: 60,000 in DIR/train and 10,000 in DIR/test.

    apt-get install dataset-fashion-mnist
    python tools/prepare_fashion_mnist.py --output=DIR

Training then reads DIR with `--dataset=tfrecord --data_dir=DIR`. A split appears when everything of it is written. The
same command goes on where it was interrupted, and leaves a split as it is that has these images at this resolution.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sagan_tf.console import load_tensorflow, run_command
from sagan_tf.data.names import check_tensorflow_path
from sagan_tf.errors import UserError
from sagan_tf.files import check_can_write_directory
from sagan_tf.text import printable
from tools.preparation.fashion_mnist import CLASS_NAMES, DEBIAN_DIRECTORY, SPLITS, check_source, read_split
from tools.preparation.record_set import RecordFormat, describe, write_record_set

NAME = "tools/prepare_fashion_mnist.py"
INTERRUPTED = 130


def prepare(source: Path, split: str, output: Path, resolution: int) -> str:
    """Write a split to DIR/SPLIT unless it is there; return what to say of it."""
    load_tensorflow()
    from sagan_tf.data.embedded import EmbeddedSource
    from sagan_tf.data.tfrecord import TFRecordMetadata

    images, labels = read_split(source, split)
    directory = output / split
    if (directory / "dataset.json").exists():
        found = TFRecordMetadata.read(str(directory))
        if (found.num_examples, found.resolution, found.class_names) == (len(images), resolution, CLASS_NAMES):
            return f"{directory}: {found.num_examples} images are there already"
    embedded = EmbeddedSource(
        name="fashion_mnist",
        split=split,
        images=images,
        labels=labels,
        class_names=CLASS_NAMES,
        resolution=resolution,
        image_channels=1,
    )
    settings = {"--source": str(source), "--resolution": resolution}
    # Nothing is decoded, so that further processes would not be faster.
    metadata = write_record_set(embedded, directory, RecordFormat(split), settings, num_workers=1)
    counts = ", ".join(f"{name} {count}" for name, count in zip(CLASS_NAMES, metadata.class_counts, strict=True))
    return f"{describe(directory, metadata, embedded)} ({counts})"


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit status."""
    parser = argparse.ArgumentParser(description="Stores all images of Fashion-MNIST in record files.")
    parser.add_argument("--source", type=Path, default=DEBIAN_DIRECTORY, help="directory of the four original files")
    parser.add_argument("--output", required=True, type=Path, help="directory to write to")
    parser.add_argument("--resolution", type=int, default=32, help="height and width to store; the images have 28")
    options = parser.parse_args(arguments)
    if options.resolution < 1:
        parser.error(f"--resolution: expected at least 1, received {options.resolution}")
    output = options.output.expanduser()
    try:
        check_source(options.source)
        check_tensorflow_path("output", output)
        check_can_write_directory(output, "output")
        for split in SPLITS:
            print(prepare(options.source, split, output, options.resolution), flush=True)
        return 0
    except KeyboardInterrupt as interruption:
        print(f"{NAME}: interrupted: {str(interruption) or 'before it began to write'}", file=sys.stderr)
        return INTERRUPTED
    except UserError as error:
        print(f"{NAME}: error: {printable(str(error))}", file=sys.stderr)
    except OSError as error:
        print(f"{NAME}: error: cannot write {output}: {error}; the same command goes on from there", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(run_command(NAME, main))
