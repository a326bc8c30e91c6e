"""Images of attention maps: heat laid over an image, and a dot at the position of the query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from sagan_tf.visualization.colors import MARKER_COLORS, map_to_heat_colors
from sagan_tf.visualization.image_grid import draw_image_sheet

MIN_TILE_HEIGHT_PX = 160
"""Images of a smaller height are enlarged by a whole factor to at least this height."""
_NUM_CHOSEN_QUERIES = 5
_POSITION_WEIGHT = 0.2
"""Distance between queries at opposite sides of the image, relative to 1 for maps without any overlap."""
_MAX_ITERATIONS = 20
_MAX_HEAT_OPACITY = 0.65
"""Share of the heat color at the maximum of a map; the remainder is the image."""


class LayerAttention(NamedTuple):
    """Attention maps of one layer for one image.

    Attributes:
        name: Name of the layer.
        size: Height and width of the layer's feature map.
        queries: Row and column of each query, int32 [n, 2]: a rectangular grid, row by row.
        maps: Attention map of each query, float32 [n, key_height, key_width]; each map sums to 1.
    """

    name: str
    size: tuple[int, int]
    queries: np.ndarray
    maps: np.ndarray


class ImageAttention(NamedTuple):
    """An image and the attention maps of each attention layer.

    Attributes:
        image: Image, uint8 [height, width, channels].
        name: Name of the image.
        layers: Attention maps of each layer.
    """

    image: np.ndarray
    name: str
    layers: tuple[LayerAttention, ...]


def draw_attention_sheet(
    attention: Sequence[ImageAttention], positions: Sequence[tuple[float, float]] = ()
) -> Image.Image:
    """Draw one row of attention maps per image and layer.

    The first column is the image with colored dots; the next columns are the attention maps of the dots.

    Args:
        attention: At least one image with its attention maps; all have the same number of layers.
        positions: Row and column of each dot as fractions of the image, at most as many as `MARKER_COLORS`. If empty,
            `choose_representative_queries` chooses queries.

    Returns:
        The sheet.
    """
    rows = [_draw_tiles(image, layer, positions) for image in attention for layer in image.layers]
    columns = max(map(len, rows))
    names = ["image", *(f"from dot {number}" for number in range(1, columns))]
    tiles = np.stack([tile for row in rows for tile in row])
    return draw_image_sheet(tiles, columns, row_names=_make_row_names(attention), column_names=names, min_tile_height=1)


def _make_row_names(attention: Sequence[ImageAttention]) -> list[str]:
    return [
        image.name if len(image.layers) == 1 else f"{image.name} {layer.size[0]}x{layer.size[1]}"
        for image in attention
        for layer in image.layers
    ]


def _draw_tiles(
    attention: ImageAttention, layer: LayerAttention, positions: Sequence[tuple[float, float]]
) -> list[np.ndarray]:
    """Draw the image with its dots, and the attention map of each dot."""
    factor = max(1, -(-MIN_TILE_HEIGHT_PX // attention.image.shape[0]))
    image = convert_to_rgb(attention.image).repeat(factor, axis=0).repeat(factor, axis=1)
    height, width = image.shape[:2]
    if positions:
        chosen = [_find_nearest_query(layer, position) for position in positions]
    else:
        chosen = choose_representative_queries(layer.maps, layer.queries, _NUM_CHOSEN_QUERIES).tolist()
    dots = [locate_query_on_image(layer.queries[index], layer.size, (height, width)) for index in chosen]
    radius = max(4.0, height / 32)
    tiles = [draw_dots(image, dots, MARKER_COLORS[: len(dots)], radius)]
    for number, index in enumerate(chosen):
        heat = overlay_heat(image, resize_map_to_image(layer.maps[index], layer.size, (height, width)))
        tiles.append(draw_dots(heat, [dots[number]], [MARKER_COLORS[number]], radius))
    return tiles


def _find_nearest_query(layer: LayerAttention, position: tuple[float, float]) -> int:
    centers = (layer.queries + 0.5) / np.array(layer.size)
    return int(np.argmin(np.sum((centers - np.array(position)) ** 2, axis=1)))


def choose_representative_queries(maps: np.ndarray, queries: np.ndarray, count: int) -> np.ndarray:
    """Choose queries whose maps differ and represent those of all queries.

    The method is k-medoids with the Hellinger distance of the maps and, with a small weight, the distance of the
    queries. It starts from the farthest queries and is deterministic.

    Args:
        maps: Attention map of each query, [n, key_height, key_width]; each map sums to 1.
        queries: Row and column of each query, [n, 2].
        count: Number of queries to choose.

    Returns:
        Indices of the chosen queries, int [min(count, n)], in descending order of cluster size.
    """
    distance = _compute_query_distances(maps, queries)
    medoids = [int(np.argmin(distance.sum(axis=1)))]
    while len(medoids) < min(count, len(maps)):
        medoids.append(int(np.argmax(distance[medoids].min(axis=0))))
    for _ in range(_MAX_ITERATIONS):
        nearest = np.argmin(distance[medoids], axis=0)
        members = [np.flatnonzero(nearest == cluster) for cluster in range(len(medoids))]
        moved = [int(cluster[np.argmin(distance[np.ix_(cluster, cluster)].sum(axis=1))]) for cluster in members]
        if moved == medoids:
            break
        medoids = moved
    sizes = np.bincount(np.argmin(distance[medoids], axis=0), minlength=len(medoids))
    return np.array(medoids)[np.argsort(-sizes, kind="stable")]


def _compute_query_distances(maps: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Compute the distance between each two queries, float64 [n, n]."""
    roots = np.sqrt(maps.reshape(len(maps), -1).astype(np.float64))
    map_distances = np.sqrt(np.maximum(1.0 - roots @ roots.T, 0.0))
    steps = queries[:, np.newaxis] - queries
    # The distance of the queries spreads the dots over the image even if all maps are equal.
    return map_distances + _POSITION_WEIGHT * np.linalg.norm(steps, axis=-1) / max(float(np.ptp(queries)), 1.0)


def locate_query_on_image(
    query: Sequence[int] | np.ndarray, size: tuple[int, int], image_size: tuple[int, int]
) -> tuple[float, float]:
    """Locate the center of a query on the image.

    Args:
        query: Row and column in the feature map.
        size: Height and width of the feature map.
        image_size: Height and width of the image.

    Returns:
        Row and column in pixels, where the center of the first pixel is 0.5.
    """
    row, column = ((index + 0.5) * pixels / side for index, pixels, side in zip(query, image_size, size, strict=True))
    return row, column


def resize_map_to_image(attention: np.ndarray, size: tuple[int, int], image_size: tuple[int, int]) -> np.ndarray:
    """Resize an attention map to the image, with each key over its part of the image.

    Args:
        attention: Attention map, [key_height, key_width].
        size: Height and width of the feature map that the layer receives. Pooled keys cover blocks of its locations; if
            a side is odd, the last row or column belongs to no key.
        image_size: Height and width of the image.

    Returns:
        Heat, float32 [*image_size], interpolated between the centers of the keys and scaled to a maximum of 1.
    """
    parts = compute_covered_part(size, attention.shape)
    covered = [round(pixels * part) for pixels, part in zip(image_size, parts, strict=True)]
    heat: np.ndarray = np.zeros(image_size, np.float32)
    smooth = Image.fromarray(attention.astype(np.float32)).resize(covered[::-1], Image.Resampling.BILINEAR)
    heat[: covered[0], : covered[1]] = np.asarray(smooth)
    return heat / max(float(heat.max()), 1e-12)


def compute_covered_part(size: tuple[int, int], keys: tuple[int, ...]) -> tuple[float, float]:
    """Compute the part of each side of the image that the keys cover.

    The part is 1, except for an odd side that is pooled two by two.

    Args:
        size: Height and width of the feature map that the layer receives.
        keys: Height and width of an attention map.

    Returns:
        Covered part of the height and of the width, in (0, 1].
    """
    down, across = (
        min(1.0, number * (1 if number == side else 2) / side) for side, number in zip(size, keys, strict=True)
    )
    return down, across


def overlay_heat(image: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """Lay heat over a gray version of an image; higher heat is more opaque.

    Args:
        image: Image, uint8 [height, width, channels].
        heat: Heat, [height, width] in [0, 1].

    Returns:
        Image, uint8 [height, width, 3].
    """
    gray = np.asarray(Image.fromarray(convert_to_rgb(image)).convert("L"), np.float64)[..., np.newaxis]
    opacity = _MAX_HEAT_OPACITY * np.sqrt(heat)[..., np.newaxis]
    mixed = (1.0 - opacity) * gray * 0.8 + opacity * map_to_heat_colors(heat)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def draw_dots(
    image: np.ndarray, positions: Sequence[tuple[float, float]], colors: Sequence[tuple[int, int, int]], radius: float
) -> np.ndarray:
    """Draw a dot with a white and a black ring at each position.

    Args:
        image: Image, uint8 [height, width, channels].
        positions: Row and column of each dot in pixels, where the center of the first pixel is 0.5.
        colors: RGB color of each dot.
        radius: Radius of a dot in pixels.

    Returns:
        Image, uint8 [height, width, 3].
    """
    canvas = Image.fromarray(convert_to_rgb(image))
    draw = ImageDraw.Draw(canvas)
    for (row, column), color in zip(positions, colors, strict=True):
        for ring, fill in ((radius + 1.5, "black"), (radius + 0.5, "white"), (radius - 0.5, color)):
            # Pillow draws whole pixels and measures from their centers, which are 0.5 pixels into the box.
            box = (column - 0.5 - ring, row - 0.5 - ring, column - 0.5 + ring, row - 0.5 + ring)
            draw.ellipse(box, fill=fill)
    return np.asarray(canvas)


def convert_to_rgb(image: np.ndarray) -> np.ndarray:
    """Convert an image uint8 [height, width, 1, 3 or 4] to RGB; alpha is dropped."""
    return np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else np.ascontiguousarray(image[..., :3])
