"""Small data sets for tests: image directories, and record files as `tools/prepare_imagenet.py` writes them."""

from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from sagan_tf.data.sources.folder_layout import DirectoryLayout, read_layout
from sagan_tf.data.sources.tfrecord import TFRecordMetadata, serialize_record
from sagan_tf.data.trees.open_tree import open_tree


def build_class_directories(
    directory: Path, class_names: tuple[str, ...] = ("cat", "dog"), images_per_class: int = 6
) -> None:
    """Build a subdirectory of PNG images of 20 x 16 pixels in one color, `get_image_color`, for each class."""
    for label, name in enumerate(class_names):
        (directory / name).mkdir(parents=True, exist_ok=True)
        for index in range(images_per_class):
            write_image(directory / name / f"{index:03d}.png", get_image_color(label, index))


def get_image_color(label: int, index: int) -> tuple[int, int, int]:
    """Return the color of an image of the sample data sets: red encodes the label, green the index."""
    return 40 * label + 10, 2 * index + 5, 77


def write_image(path: Path, color: tuple[int, int, int], size: tuple[int, int] = (20, 16)) -> None:
    """Write an image of one color; `size` is (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, color).save(path)


def read_directory_layout(data_dir: str) -> DirectoryLayout:
    """Return the layout of a directory or an archive."""
    return read_layout(open_tree(data_dir))


def build_record_files(
    data_dir: Path,
    *,
    split: str = "train",
    records_per_file: tuple[int, ...] = (5, 5, 5),
    num_classes: int = 3,
    resolution: int = 16,
    damaged: tuple[int, ...] = (),
) -> None:
    """Build record files and their metadata in `data_dir`/`split`.

    Record i has the name `image_<i>`, the label i % num_classes (0 if there are no classes) and the color
    `get_image_color(i % num_classes, i // num_classes)`. The images of the records `damaged` are truncated.
    """
    directory = data_dir / split
    directory.mkdir(parents=True)
    files, index = [], 0
    class_counts: np.ndarray = np.zeros(num_classes, np.int64)
    for file_index, count in enumerate(records_per_file):
        name = f"{split}-{file_index:05d}-of-{len(records_per_file):05d}.tfrecord"
        with tf.io.TFRecordWriter(str(directory / name)) as writer:
            for _ in range(count):
                label = index % num_classes if num_classes else 0
                color = get_image_color(label, index // max(1, num_classes))
                image = np.broadcast_to(np.array(color, np.uint8), (resolution, resolution, 3))
                encoded = tf.io.encode_png(image).numpy()
                encoded = encoded[: len(encoded) // 2] if index in damaged else encoded
                writer.write(serialize_record(encoded, label, f"image_{index}".encode()))
                if num_classes:
                    class_counts[label] += 1
                index += 1
        files.append((name, count))
    class_names = tuple(f"class_{label}" for label in range(num_classes))
    metadata = TFRecordMetadata(split, resolution, 3, class_names, tuple(class_counts.tolist()), tuple(files))
    metadata.write(str(directory))
