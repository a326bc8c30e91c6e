"""Image sets that a flag names, DATASET:SPLIT or a directory, opened as a `Source`."""

from __future__ import annotations

import os
import pathlib

from PIL import Image

from sagan_tf.config import DataConfig
from sagan_tf.data.images.limits import read_file
from sagan_tf.data.images.preprocessing import open_image
from sagan_tf.data.sources.folder import FolderSource, open_folder
from sagan_tf.data.sources.folder_layout import LayoutError
from sagan_tf.data.sources.registry import open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.errors import UserError


def is_folder(text: str) -> bool:
    """Return whether `text` names a directory, and not `DATASET:SPLIT`."""
    return os.path.isdir(os.path.expanduser(text)) or ":" not in text


def open_images(flag: str, text: str, *, data_dir: str, resolution: int, image_channels: int) -> Source:
    """Open `DATASET:SPLIT` or a directory, with images brought to a size as for training.

    Args:
        flag: The flag that `text` comes from, for messages.
        text: What to open.
        data_dir: The directory of data sets.
        resolution: Height and width wanted.
        image_channels: Channels wanted.

    Raises:
        UserError: It does not exist, or is laid out in another way.
    """
    if is_folder(text):
        config = DataConfig(dataset="folder", data_dir=text)
    else:
        dataset, _, split = text.partition(":")
        if dataset == "folder":
            raise UserError(f'{flag}={text}: the data set "folder" has no splits; pass the directory itself')
        config = DataConfig(dataset=dataset, split=split, data_dir=data_dir)
    try:
        return open_source(config, resolution=resolution, image_channels=image_channels)
    except LayoutError as error:
        raise UserError(error.message(flag)) from error
    except UserError as error:
        raise UserError(f"{flag}={text}: {error}") from error


def open_finished_images(folder: str, image_channels: int | None = None) -> FolderSource:
    """Open a directory of square images of one size, none of which is cropped or resized.

    Args:
        folder: The directory, with the images or with a subdirectory for each class.
        image_channels: Channels wanted; None: 1 if the first image is gray, else 3.

    Raises:
        UserError: It does not exist, an image cannot be opened, or they are of several sizes.
    """
    path = os.path.expanduser(folder)
    try:
        layout = open_folder(DataConfig(data_dir=path), resolution=1, image_channels=1).layout
    except LayoutError as error:
        raise UserError(error.message("images")) from error
    except UserError as error:
        raise UserError(f"images={folder}: {error}") from error
    first, side, mode = "", 0, ""
    for name in layout.paths:
        size, mode_of_this = _size_and_mode(pathlib.Path(path, name))
        if not first:
            first, side, mode = name, size[0], mode_of_this
        if size != (side, side):
            raise UserError(
                f"images: expected square images, all of one size, received {side} x {side} pixels ({first}) and "
                f"{size[0]} x {size[1]} ({name})"
                if first != name
                else f"images: expected square images, received {size[0]} x {size[1]} pixels ({name})"
            )
    channels = image_channels or (1 if mode in ("1", "L", "LA", "I;16", "I") else 3)
    return FolderSource(pathlib.Path(path), layout, resolution=side, image_channels=channels)


def _size_and_mode(path: pathlib.Path) -> tuple[tuple[int, int], str]:
    try:
        image, _ = open_image(read_file(path))
        return image.size, image.mode
    except Exception as error:  # Pillow raises almost any exception for damaged files
        reason = "no image of a known format" if isinstance(error, Image.UnidentifiedImageError) else error
        raise UserError(f"images: expected readable images, received {path} ({reason})") from error
