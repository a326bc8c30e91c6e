"""Tests of the HTML page of attention maps: its data, its safety and its behavior in a browser."""

from __future__ import annotations

import base64
import io
import json
import pathlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sagan_tf.visualization.attention_maps import ImageAttention, LayerAttention
from sagan_tf.visualization.attention_page import encode_png_data_url, make_attention_page
from sagan_tf.visualization.colors import MARKER_COLORS
from tests.browser import Page

SIZE, KEYS, IMAGE_SIZE = (8, 4), (4, 2), (64, 32)


def grid(rows: list[int], columns: list[int]) -> np.ndarray:
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2).astype(np.int32)


ALL_QUERIES = grid(list(range(8)), list(range(4)))


def random_layer(queries: np.ndarray = ALL_QUERIES) -> LayerAttention:
    maps = np.random.default_rng(5).exponential(size=(len(queries), *KEYS))
    return LayerAttention("attention", SIZE, queries, (maps / maps.sum(axis=(1, 2), keepdims=True)).astype(np.float32))


def get_attended_key(query: np.ndarray) -> tuple[int, int]:
    """Return the key that a query attends to in `one_key_layer`, never the key at its own position."""
    return (int(query[0]) // 2 + 1) % 4, (int(query[1]) // 2 + 1) % 2


def one_key_layer() -> LayerAttention:
    maps: np.ndarray = np.zeros((len(ALL_QUERIES), *KEYS), np.float32)
    for index, query in enumerate(ALL_QUERIES):
        row, column = get_attended_key(query)
        maps[index, row, column] = 1.0
    return LayerAttention("attention", SIZE, ALL_QUERIES, maps)


def attention(*layers: LayerAttention, name: str = "boot seed 1") -> ImageAttention:
    return ImageAttention(np.full((*IMAGE_SIZE, 1), 100, np.uint8), name, layers)


def read_data(page: str) -> dict[str, Any]:
    start = '<script id="data" type="application/json">'
    return json.loads(page.partition(start)[2].partition("</script>")[0])


def read_layer(layer: LayerAttention) -> dict[str, Any]:
    """Return the data of a layer on a page with one image."""
    return read_data(make_attention_page("t", [attention(layer)]))["images"][0]["layers"][0]


def decode(url: str) -> np.ndarray:
    assert url.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))))


@pytest.mark.parametrize(("rows", "columns"), [(list(range(8)), list(range(4))), ([0, 3, 7], [1, 3])])
def test_the_page_contains_the_maps(rows: list[int], columns: list[int]) -> None:
    """The maps are exact to 8 bits, each scaled to its own maximum; queries may be at some of the locations."""
    layer = random_layer(grid(rows, columns))
    found = read_layer(layer)
    atlas = decode(found["atlas"]).astype(np.float64) / 255.0
    assert atlas.shape == (len(rows) * 4, len(columns) * 2)
    assert (found["rows"], found["columns"]) == (rows, columns)
    assert (found["name"], found["size"], found["keys"], found["covered"]) == ("attention", [8, 4], [4, 2], [1.0, 1.0])
    for index, query_map in enumerate(layer.maps):
        row, column = divmod(index, len(columns))
        tile = atlas[4 * row : 4 * row + 4, 2 * column : 2 * column + 2]
        assert found["maxima"][index] == pytest.approx(query_map.max(), abs=1e-5)
        np.testing.assert_allclose(tile, query_map / query_map.max(), atol=0.5 / 255 + 1e-6)


def test_keys_that_do_not_cover_the_whole_image() -> None:
    maps: np.ndarray = np.full((20, 2, 2), 0.25, np.float32)
    assert read_layer(LayerAttention("a", (5, 4), grid(list(range(5)), list(range(4))), maps))["covered"] == [0.8, 1.0]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_page_contains_the_images(channels: int) -> None:
    image = np.random.default_rng(2).integers(0, 256, (*IMAGE_SIZE, channels), np.uint8)
    page = make_attention_page("<b>t", [ImageAttention(image, "</script><b>", (random_layer(),))])
    (found,) = read_data(page)["images"]
    assert found["name"] == "</script><b>" and "<b>" not in page  # checked without a browser, too
    np.testing.assert_array_equal(decode(found["image"]), image[..., [0, 0, 0] if channels == 1 else [0, 1, 2]])
    assert (found["height"], found["width"]) == (256, 128)  # enlarged by a whole factor to the minimum height


def test_gray_images_as_data_urls() -> None:
    image = np.random.default_rng(2).integers(0, 256, (3, 5), np.uint8)
    np.testing.assert_array_equal(decode(encode_png_data_url(image)), image)
    np.testing.assert_array_equal(decode(encode_png_data_url(image[..., np.newaxis])), image)


READ_CANVAS = """
(([row, column]) => {
  const canvas = document.querySelector("canvas"), box = canvas.getBoundingClientRect();
  const where = {clientX: box.left + column * box.width, clientY: box.top + row * box.height};
  canvas.dispatchEvent(new PointerEvent("pointermove", where));
  const {data, width, height} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return {query: canvas.dataset.query, pixels: [...data], width, height};
})
"""


def open_page(browser: Page, page: str, directory: pathlib.Path) -> None:
    (directory / "page.html").write_text(page, encoding="utf-8")
    browser.open((directory / "page.html").as_uri())
    browser.wait_for("document.body.dataset.ready")


def move_mouse(browser: Page, place: tuple[float, float]) -> tuple[str, np.ndarray]:
    """Move the mouse to a position in fractions of the first image; return the query and the image that is shown."""
    found = browser.evaluate(f"{READ_CANVAS}({json.dumps(place)})")
    return found["query"], np.array(found["pixels"]).reshape(found["height"], found["width"], 4)


def test_heat_is_on_the_key_that_the_query_under_the_mouse_attends_to(browser: Page, tmp_path: pathlib.Path) -> None:
    open_page(browser, make_attention_page("t", [attention(one_key_layer())]), tmp_path)
    for place in ((0.52, 0.6), (0.01, 0.01), (0.99, 0.99), (0.24, 0.26), (0.26, 0.49)):
        query = (int(place[0] * SIZE[0]), int(place[1] * SIZE[1]))
        text, pixels = move_mouse(browser, place)
        assert text == f"{query[0]},{query[1]}"
        yellow = pixels[..., 1] - pixels[..., 2]  # The maximum of the heat is yellow, that is more green than blue.
        assert yellow.max() > 80  # of 0.65 * (231 - 37), mixed with gray
        hottest = (np.argwhere(yellow == yellow.max()) + 0.5).mean(axis=0) / yellow.shape
        np.testing.assert_array_equal(np.floor(hottest * KEYS), get_attended_key(np.array(query)))


def test_the_dot_is_at_the_query(browser: Page, tmp_path: pathlib.Path) -> None:
    open_page(browser, make_attention_page("t", [attention(one_key_layer())]), tmp_path)
    for query in ((0, 0), (3, 2), (7, 3)):
        center = ((query[0] + 0.5) / SIZE[0], (query[1] + 0.5) / SIZE[1])
        _, pixels = move_mouse(browser, center)
        row, column = (int(part * side) for part, side in zip(center, pixels.shape[:2], strict=True))
        assert pixels[row, column, :3].tolist() == list(MARKER_COLORS[0])


NAMES = [
    "</script><b>x</b>",
    "<b>bold</b>",
    "a & b \"c\" 'd'",
    "日本 \u2028",
    "{{ title }}",
    "</SCRIPT >",
    "<!--<script>",
]


def test_names_are_shown_as_they_are_and_nothing_is_loaded(browser: Page, tmp_path: pathlib.Path) -> None:
    title = " ".join(NAMES)
    layer = one_key_layer()._replace(name=title)
    open_page(browser, make_attention_page(title, [attention(layer, name=name) for name in NAMES]), tmp_path)
    assert browser.evaluate("document.title") == f"Attention: {title}"
    shown = "[...document.querySelectorAll('figcaption span:first-child')].map(name => name.textContent)"
    assert browser.evaluate(shown) == NAMES
    assert browser.evaluate("layerChoice.options[0].label").startswith(title)
    assert browser.evaluate("document.querySelectorAll('b, link, iframe, [src], [href]').length") == 0
    loaded = browser.evaluate("performance.getEntriesByType('resource').map(file => file.name)")
    assert all(address.startswith("data:") for address in loaded)
