"""Pictures of many images: rows of images, with the class written beside each row."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_GAP = 2
_LEAST_TILE = 48
"""Small images are enlarged by a whole factor until a tile is at least this many pixels, so that one can see them."""


def image_grid(images: np.ndarray, columns: int, row_names: Sequence[str] = ()) -> Image.Image:
    """Lays images out in rows.

    Args:
        images: float [rows * columns, height, width, channels] in [-1, 1], row by row; 1, 3 or 4 channels.
        columns: images in a row.
        row_names: written to the left of the rows; empty for none.

    Returns:
        A picture, grey images as RGB.

    Raises:
        ValueError: if the images don't fill whole rows, or there are names for another number of rows.
    """
    count, height, width, channels = images.shape
    if count % columns:
        raise ValueError(f"`images` must fill rows of {columns}. Received: {count} images")
    rows = count // columns
    # One line each, and only what can be drawn: class names may be any folder names.
    row_names = [" ".join(name.encode("utf-8", "replace").decode().split()) for name in row_names]
    if row_names and len(row_names) != rows:
        raise ValueError(f"`row_names` must have {rows} entries. Received: {len(row_names)}")
    factor = max(1, -(-_LEAST_TILE // height))
    pixels = np.clip(np.rint((images + 1.0) * 127.5), 0, 255).astype(np.uint8)
    pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    tile_height, tile_width = height * factor + _GAP, width * factor + _GAP
    mode = "RGBA" if channels == 4 else "RGB"
    font = ImageFont.load_default(size=min(max(tile_height // 4, 12), 24))
    margin = _margin(row_names, font)
    canvas = Image.new(mode, (margin + columns * tile_width + _GAP, rows * tile_height + _GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for index, tile in enumerate(pixels):
        row, column = divmod(index, columns)
        picture = Image.fromarray(tile[..., 0] if channels == 1 else tile).convert(mode)
        canvas.paste(picture, (margin + column * tile_width + _GAP, row * tile_height + _GAP))
    for row, name in enumerate(row_names):
        draw.text((margin - 2 * _GAP, (row + 0.5) * tile_height), name, "black", font, anchor="rm")
    return canvas


def save_png(picture: Image.Image, path: pathlib.Path) -> None:
    """Writes a PNG so that nobody sees half of it; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(path.name + ".part")
    picture.save(beside, format="PNG")
    beside.replace(path)


def _margin(row_names: Sequence[str], font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> int:
    if not row_names:
        return 0
    return int(max(font.getlength(name) for name in row_names)) + 4 * _GAP
