"""Image sets that a flag names as DATASET:SPLIT or as a directory or archive, opened as a `Source`."""

from __future__ import annotations

import os

from PIL import Image

from sagan_tf.config import DataConfig
from sagan_tf.data.images.preprocessing import open_image
from sagan_tf.data.sources.folder import DirectorySource, open_directory
from sagan_tf.data.sources.registry import check_image_channels, open_source
from sagan_tf.data.sources.source import Source
from sagan_tf.data.trees.layout_error import LayoutError
from sagan_tf.data.trees.tree import FileTree
from sagan_tf.errors import UserError


def is_directory(text: str) -> bool:
    """Return whether `text` names a directory or an archive, and not `DATASET:SPLIT`."""
    return os.path.exists(os.path.expanduser(text)) or ":" not in text


def open_images(flag: str, text: str, *, data_dir: str, resolution: int, image_channels: int) -> Source:
    """Open `DATASET:SPLIT`, a directory or an archive, with images preprocessed as for training.

    Args:
        flag: The flag that `text` is the value of, for messages.
        text: `DATASET:SPLIT`, a directory or an archive.
        data_dir: The directory of the data sets.
        resolution: Height and width of the images after preprocessing, in pixels.
        image_channels: Channels of the images after preprocessing.

    Returns:
        The opened source.

    Raises:
        UserError: The image set does not exist or has another layout.
    """
    size = {"resolution": resolution, "image_channels": image_channels}
    try:
        if is_directory(text):
            check_image_channels(image_channels)
            return open_directory(DataConfig(data_dir=os.path.expanduser(text)), **size, allows_split_names=True)
        dataset, _, split = text.partition(":")
        if dataset == "folder":
            raise UserError('the data set "folder" has no splits; pass the directory itself')
        return open_source(DataConfig(dataset=dataset, split=split, data_dir=data_dir), **size)
    except LayoutError as error:
        raise UserError(error.message(flag)) from error
    except UserError as error:
        raise UserError(f"{flag}={text}: {error}") from error


def open_square_images(directory: str, image_channels: int | None = None) -> DirectorySource:
    """Open a directory or an archive of square images of one size, without resizing them.

    Args:
        directory: The directory or archive, with the images or with a subdirectory for each class.
        image_channels: Channels of the images. None for 1 if the first image is gray, and 3 otherwise.

    Returns:
        The opened source.

    Raises:
        UserError: The directory does not exist, an image cannot be opened or is not square, or the sizes differ.
    """
    path = os.path.expanduser(directory)
    try:
        source = open_directory(DataConfig(data_dir=path), resolution=1, image_channels=1, allows_split_names=True)
    except LayoutError as error:
        raise UserError(error.message("images")) from error
    except UserError as error:
        raise UserError(f"images={directory}: {error}") from error
    side, mode = _check_sizes(source.tree, source.layout.paths)
    channels = image_channels or (1 if mode in ("1", "L", "LA", "I;16", "I") else 3)
    return DirectorySource(source.tree, source.layout, resolution=side, image_channels=channels)


def _check_sizes(tree: FileTree, names: tuple[str, ...]) -> tuple[int, str]:
    """Check that all images are square and have the same size.

    Args:
        tree: The files.
        names: Paths of the images relative to the root of the tree.

    Returns:
        The side of the images in pixels, and the Pillow mode of the first image.

    Raises:
        UserError: An image cannot be opened or is not square, or the sizes differ.
    """
    first_name, side, first_mode = "", 0, ""
    for name in names:
        size, mode = _read_size_and_mode(tree, name)
        if not first_name:
            first_name, side, first_mode = name, size[0], mode
        if size != (side, side):
            raise UserError(
                f"images: expected square images, all of one size, received {side} x {side} pixels ({first_name}) and "
                f"{size[0]} x {size[1]} ({name})"
                if first_name != name
                else f"images: expected square images, received {size[0]} x {size[1]} pixels ({name})"
            )
    return side, first_mode


def _read_size_and_mode(tree: FileTree, path: str) -> tuple[tuple[int, int], str]:
    try:
        image, _ = open_image(tree.read(path))
        return image.size, image.mode
    except Exception as error:  # Pillow raises almost any exception for damaged files
        reason = "not an image of a known format" if isinstance(error, Image.UnidentifiedImageError) else error
        raise UserError(f"images: expected readable images, received {tree.format_name(path)} ({reason})") from error
