"""Grids of images with names beside the rows, above the columns and below single images."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sagan_tf.files import replace_atomically

_GAP_PX = 2
MIN_TILE_HEIGHT_PX = 48
"""Images of a smaller height are enlarged by a whole factor to at least this height, so that they are visible."""
_MAX_ROW_NAME_LENGTH, _MAX_NAME_LENGTH = 60, 255
MAX_SIDE_PX = 16_384
"""Largest side of an image that viewers and browsers still open."""

_Font: TypeAlias = ImageFont.FreeTypeFont | ImageFont.ImageFont


def draw_image_grid(images: np.ndarray, columns: int, row_names: Sequence[str] = ()) -> Image.Image:
    """Draw images in [-1, 1] in rows; see `draw_image_sheet`.

    Args:
        images: Images row by row, float [rows * columns, height, width, channels] in [-1, 1].
        columns: Number of images in a row.
        row_names: Names to the left of the rows; empty for none.

    Returns:
        The sheet.
    """
    pixels = np.clip(np.rint((images + 1.0) * 127.5), 0, 255).astype(np.uint8)
    return draw_image_sheet(pixels, columns, row_names=row_names)


def draw_image_sheet(
    images: np.ndarray,
    columns: int,
    *,
    row_names: Sequence[str] = (),
    column_names: Sequence[str] = (),
    captions: Sequence[str] = (),
    min_tile_height: int = MIN_TILE_HEIGHT_PX,
) -> Image.Image:
    """Draw images in rows with names.

    Args:
        images: Images row by row, uint8 [rows * columns, height, width, channels] with 1, 3 or 4 channels.
        columns: Number of images in a row.
        row_names: Names to the left of the rows; empty for none.
        column_names: Names above the columns, shortened to the width of an image; empty for none.
        captions: Names below the images, shortened to the width of an image; empty for none.
        min_tile_height: Images are enlarged by a whole factor to at least this height in pixels.

    Returns:
        The sheet, RGBA for images with 4 channels and RGB otherwise.

    Raises:
        ValueError: The images do not fill whole rows, or the number of names does not match the images.
    """
    count, height, width, channels = images.shape
    if count % columns:
        raise ValueError(f"`images` must fill rows of {columns}. Received: {count} images")
    rows = count // columns
    row_names = [name[:_MAX_ROW_NAME_LENGTH] for name in _prepare_names("row_names", row_names, rows)]
    column_names = _prepare_names("column_names", column_names, columns)
    captions = _prepare_names("captions", captions, count)
    factor = max(1, -(-min_tile_height // height))
    layout = _create_layout(height * factor, width * factor, row_names, bool(column_names), bool(captions))
    canvas_size = (layout.get_x(columns), layout.get_y(rows))
    canvas = Image.new("RGBA" if channels == 4 else "RGB", canvas_size, "white")
    for index, image in enumerate(images):
        row, column = divmod(index, columns)
        tile = Image.fromarray(image[..., 0] if channels == 1 else image).convert(canvas.mode)
        tile = tile.resize((layout.tile_width, layout.tile_height), Image.Resampling.NEAREST)
        canvas.paste(tile, (layout.get_x(column), layout.get_y(row)))
    _draw_names(ImageDraw.Draw(canvas), layout, columns, row_names, column_names, captions)
    return canvas


class _Layout(NamedTuple):
    """Sizes of a sheet in pixels, and its fonts.

    Attributes:
        tile_height, tile_width: Size of an enlarged image.
        left: Width of the row names.
        top: Height of the column names.
        pitch: Distance between the tops of two rows.
        font: Font of the row names.
        small_font: Font of the column names and captions.
    """

    tile_height: int
    tile_width: int
    left: int
    top: int
    pitch: int
    font: _Font
    small_font: _Font

    def get_x(self, column: int) -> int:
        """Return the left edge of a column of images."""
        return self.left + column * (self.tile_width + _GAP_PX) + _GAP_PX

    def get_y(self, row: int) -> int:
        """Return the top edge of a row of images."""
        return self.top + row * self.pitch + _GAP_PX


def _create_layout(
    tile_height: int, tile_width: int, row_names: Sequence[str], has_column_names: bool, has_captions: bool
) -> _Layout:
    font = ImageFont.load_default(size=min(max((tile_height + _GAP_PX) // 4, 12), 24))
    small_font = ImageFont.load_default(size=min(max(tile_height // 8, 11), 18))
    left = int(max((font.getlength(name) for name in row_names), default=-4 * _GAP_PX)) + 4 * _GAP_PX
    top = _get_line_height(small_font) if has_column_names else 0
    pitch = tile_height + _GAP_PX + (_get_line_height(small_font) if has_captions else 0)
    return _Layout(tile_height, tile_width, left, top, pitch, font, small_font)


def _draw_names(
    draw: ImageDraw.ImageDraw,
    layout: _Layout,
    columns: int,
    row_names: Sequence[str],
    column_names: Sequence[str],
    captions: Sequence[str],
) -> None:
    font, small_font, tile_width = layout.font, layout.small_font, layout.tile_width
    for index, caption in enumerate(captions):
        row, column = divmod(index, columns)
        x = layout.get_x(column) + tile_width / 2
        y = layout.get_y(row) + layout.tile_height + _get_line_height(small_font) / 2
        draw.text((x, y), _shorten_text(caption, small_font, tile_width), "black", small_font, anchor="mm")
    for row, name in enumerate(row_names):
        draw.text(
            (layout.left - 2 * _GAP_PX, layout.top + (row + 0.5) * layout.pitch), name, "black", font, anchor="rm"
        )
    for column, name in enumerate(column_names):
        x = layout.left + (column + 0.5) * (tile_width + _GAP_PX) + _GAP_PX / 2
        text = _shorten_text(name, small_font, tile_width)
        draw.text((x, layout.top / 2), text, "black", small_font, anchor="mm")


def is_sheet_size_allowed(columns: int, rows: int, image_size: int, min_tile_height: int = MIN_TILE_HEIGHT_PX) -> bool:
    """Check that a sheet of square images has sides of at most `MAX_SIDE_PX`.

    Args:
        columns: Number of images in a row.
        rows: Number of rows.
        image_size: Side of an image in pixels.
        min_tile_height: Images are enlarged by a whole factor to at least this height in pixels.

    Returns:
        Whether viewers and browsers can open the sheet.
    """
    line_height = _get_line_height(ImageFont.load_default(size=18))
    pitch = image_size * max(1, -(-min_tile_height // image_size)) + _GAP_PX + line_height
    return (max(columns, rows) + 1) * pitch <= MAX_SIDE_PX


def save_png(image: Image.Image, path: pathlib.Path, *, shared: bool = False) -> None:
    """Write a PNG file atomically and create its directory.

    Args:
        image: The image.
        path: The file.
        shared: Whether several processes may write this file at the same time.
    """
    with replace_atomically(path, shared=shared) as temporary:
        image.save(temporary, format="PNG")


def _prepare_names(argument: str, names: Sequence[str], count: int) -> list[str]:
    """Convert names to lines that can be drawn; class names may be any text."""
    if names and len(names) != count:
        raise ValueError(f"`{argument}` must have {count} entries. Received: {len(names)}")
    return [" ".join(name[:_MAX_NAME_LENGTH].encode("utf-8", "replace").decode().split()) for name in names]


def _get_line_height(font: _Font) -> int:
    return int(font.size * 1.5) if isinstance(font, ImageFont.FreeTypeFont) else 16


def _shorten_text(text: str, font: _Font, width: int) -> str:
    """Shorten a text to a width in pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text.rstrip() + "…"
