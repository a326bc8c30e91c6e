"""Pictures of many images: rows of images, with names beside the rows, above the columns and below single images."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sagan_tf.files import replace_atomically

_GAP = 2
LEAST_TILE = 48
"""Small images are enlarged by a whole factor until a tile is at least this many pixels, so that one can see them."""
_LONGEST_ROW_NAME, _LONGEST_NAME = 60, 255
LARGEST_SIDE = 16_384
"""Pixels; what viewers and browsers still open."""

_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


def image_grid(images: np.ndarray, columns: int, row_names: Sequence[str] = ()) -> Image.Image:
    """Lay out images float [rows * columns, height, width, channels] in [-1, 1]: see `sheet`."""
    return sheet(np.clip(np.rint((images + 1.0) * 127.5), 0, 255).astype(np.uint8), columns, row_names=row_names)


def sheet(
    images: np.ndarray,
    columns: int,
    *,
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    captions: Sequence[str] = (),
    least_tile: int = LEAST_TILE,
) -> Image.Image:
    """Lay images out in rows.

    Args:
        images: uint8 [rows * columns, height, width, channels], row by row; 1, 3 or 4 channels.
        columns: images in a row.
        row_names: written to the left of the rows; empty for none.
        column_names: written above the columns; empty for none.
        captions: written below each image, cut off where they are longer than it is wide; empty for none.
        least_tile: images are enlarged by a whole factor until they are at least so high.

    Returns:
        A picture, grey images as RGB.

    Raises:
        ValueError: if the images don't fill whole rows, or there are names for another number of places.
    """
    count, height, width, channels = images.shape
    if count % columns:
        raise ValueError(f"`images` must fill rows of {columns}. Received: {count} images")
    rows = count // columns
    row_names = [name[:_LONGEST_ROW_NAME] for name in _drawable("row_names", row_names, rows)]
    column_names = _drawable("column_names", column_names, columns)
    captions = _drawable("captions", captions, count)
    factor = max(1, -(-least_tile // height))
    tile_height, tile_width = height * factor, width * factor
    mode = "RGBA" if channels == 4 else "RGB"
    font = ImageFont.load_default(size=min(max((tile_height + _GAP) // 4, 12), 24))
    small = ImageFont.load_default(size=min(max(tile_height // 8, 11), 18))
    left = int(max((font.getlength(name) for name in row_names), default=-4 * _GAP)) + 4 * _GAP
    top = _line(small) if column_names else 0
    pitch = tile_height + _GAP + (_line(small) if captions else 0)
    canvas = Image.new(mode, (left + columns * (tile_width + _GAP) + _GAP, top + rows * pitch + _GAP), "white")
    draw = ImageDraw.Draw(canvas)
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        x, y = left + column * (tile_width + _GAP) + _GAP, top + row * pitch + _GAP
        picture = Image.fromarray(image[..., 0] if channels == 1 else image).convert(mode)
        canvas.paste(picture.resize((tile_width, tile_height), Image.Resampling.NEAREST), (x, y))
        if captions:
            text = _shortened(captions[index], small, tile_width)
            draw.text((x + tile_width / 2, y + tile_height + _line(small) / 2), text, "black", small, anchor="mm")
    for row, name in enumerate(row_names):
        draw.text((left - 2 * _GAP, top + (row + 0.5) * pitch), name, "black", font, anchor="rm")
    for column, name in enumerate(column_names):
        text = _shortened(name, small, tile_width)
        draw.text((left + (column + 0.5) * (tile_width + _GAP) + _GAP / 2, top / 2), text, "black", small, anchor="mm")
    return canvas


def fits(columns: int, rows: int, image_size: int, least_tile: int = LEAST_TILE) -> bool:
    """Return whether a sheet of so many square images of `image_size` pixels, with names, can be opened."""
    pitch = image_size * max(1, -(-least_tile // image_size)) + _GAP + _line(ImageFont.load_default(size=18))
    return (max(columns, rows) + 1) * pitch <= LARGEST_SIDE


def save_png(picture: Image.Image, path: pathlib.Path) -> None:
    """Write a PNG so that nobody sees half of it; make its folder."""
    with replace_atomically(path) as temporary:
        picture.save(temporary, format="PNG")


def _drawable(what: str, names: Sequence[str], count: int) -> list[str]:
    """One line each, and only what can be drawn: class names may be any folder names."""
    if names and len(names) != count:
        raise ValueError(f"`{what}` must have {count} entries. Received: {len(names)}")
    return [" ".join(name[:_LONGEST_NAME].encode("utf-8", "replace").decode().split()) for name in names]


def _line(font: _Font) -> int:
    """Height of a line of text."""
    return int(font.size * 1.5) if isinstance(font, ImageFont.FreeTypeFont) else 16


def _shortened(text: str, font: _Font, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
