"""A self-contained HTML page that shows the attention map of the query under the mouse."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

from sagan_tf.visualization.attention_maps import ImageAttention, LayerAttention, compute_covered_part, convert_to_rgb
from sagan_tf.visualization.colors import map_to_heat_colors
from sagan_tf.visualization.html_page import render_page

_MIN_SHOWN_HEIGHT_PX = 256
"""Images of a smaller height are enlarged by a whole factor to at least this height on the page."""


def make_attention_page(title: str, attention: Sequence[ImageAttention]) -> str:
    """Make an HTML page of attention maps that needs no further file and no network.

    Args:
        title: Title of the page.
        attention: At least one image with its attention maps; all have the same layers.

    Returns:
        HTML text.
    """
    data = {
        "colors": map_to_heat_colors(np.linspace(0.0, 1.0, 256)).tolist(),
        "images": [_make_image_data(image) for image in attention],
    }
    return render_page("sagan_tf.visualization", "attention_page.html.jinja", title=title, data=data)


def encode_png_data_url(image: np.ndarray) -> str:
    """Encode an image uint8 [height, width(, 1, 3 or 4)] as a data URL."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _make_image_data(attention: ImageAttention) -> dict[str, object]:
    height, width = attention.image.shape[:2]
    factor = max(1, -(-_MIN_SHOWN_HEIGHT_PX // height))
    return {
        "name": attention.name,
        "image": encode_png_data_url(convert_to_rgb(attention.image)),
        "height": height * factor,
        "width": width * factor,
        "layers": [_make_layer_data(layer) for layer in attention.layers],
    }


def _make_layer_data(layer: LayerAttention) -> dict[str, object]:
    """Make the data of a layer, with its maps as the tiles of one gray image.

    Each tile is the map of one query, scaled so that its maximum is 255.
    """
    rows, columns = (len(np.unique(layer.queries[:, axis])) for axis in (0, 1))
    key_height, key_width = layer.maps.shape[1:]
    maxima = layer.maps.max(axis=(1, 2), keepdims=True)
    tiles = np.rint(255.0 * layer.maps / np.maximum(maxima, 1e-12)).astype(np.uint8)
    atlas = tiles.reshape(rows, columns, key_height, key_width).transpose(0, 2, 1, 3)
    return {
        "name": layer.name,
        "size": list(layer.size),
        "rows": np.unique(layer.queries[:, 0]).tolist(),
        "columns": np.unique(layer.queries[:, 1]).tolist(),
        "keys": [key_height, key_width],
        # The part of each side of the image that the keys cover: 1, except for an odd side that is pooled.
        "covered": compute_covered_part(layer.size, (key_height, key_width)),
        "maxima": [round(float(value), 5) for value in maxima.ravel()],
        "atlas": encode_png_data_url(atlas.reshape(rows * key_height, columns * key_width)),
    }
