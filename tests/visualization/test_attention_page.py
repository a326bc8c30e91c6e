"""Tests of the HTML page of attention maps: its data, its safety and its behavior in a browser."""

from __future__ import annotations

import base64
import html.parser
import io
import json
import pathlib
import re
import shutil
import subprocess
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sagan_tf.visualization.attention_maps import ImageAttention, LayerAttention
from sagan_tf.visualization.attention_page import encode_png_data_url, make_attention_page

SIZE, KEYS, IMAGE_SIZE = (8, 4), (4, 2), (64, 32)


def grid(rows: list[int], columns: list[int]) -> np.ndarray:
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2).astype(np.int32)


def random_layer(name: str = "attention", keys: tuple[int, int] = KEYS) -> LayerAttention:
    queries = grid(list(range(8)), list(range(4)))
    maps = np.random.default_rng(5).exponential(size=(len(queries), *keys))
    return LayerAttention(name, SIZE, queries, (maps / maps.sum(axis=(1, 2), keepdims=True)).astype(np.float32))


def get_attended_key(query: np.ndarray) -> tuple[int, int]:
    """Return the key that a query attends to in `one_key_layer`, never the key at its own position."""
    return (int(query[0]) // 2 + 1) % 4, (int(query[1]) // 2 + 1) % 2


def one_key_layer(name: str = "attention") -> LayerAttention:
    queries = grid(list(range(8)), list(range(4)))
    maps = np.zeros((len(queries), *KEYS), np.float32)
    for index, query in enumerate(queries):
        maps[(index, *get_attended_key(query))] = 1.0
    return LayerAttention(name, SIZE, queries, maps)


def attention(*layers: LayerAttention, name: str = "boot seed 1", channels: int = 1) -> ImageAttention:
    return ImageAttention(np.full((*IMAGE_SIZE, channels), 100, np.uint8), name, layers)


class Elements(html.parser.HTMLParser):
    """Start tags with their attributes, and texts by the id or the tag of their element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, str] = {}
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        tag, attributes = self.tags[-1] if self.tags else ("", {})
        key = attributes.get("id") or tag
        self.texts[key] = self.texts.get(key, "") + data


def read_data(page: str) -> dict[str, Any]:
    return json.loads(Elements(page).texts["data"])


def decode(url: str) -> np.ndarray:
    assert url.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))))


def test_the_page_needs_no_further_file() -> None:
    page = make_attention_page("generator of run", [attention(random_layer())])
    assert not re.search(r"(https?:)?//[a-z]", page) and "@import" not in page and "url(" not in page
    for tag, attributes in Elements(page).tags:
        assert tag not in ("link", "iframe", "object", "embed") and not {"src", "href"} & attributes.keys()


def test_the_page_contains_the_maps() -> None:
    """The maps are exact to 8 bits, each scaled to its own maximum."""
    layer = random_layer()
    (image,) = read_data(make_attention_page("t", [attention(layer)]))["images"]
    (found,) = image["layers"]
    atlas = decode(found["atlas"]).astype(np.float64) / 255.0
    assert atlas.shape == (8 * 4, 4 * 2)
    assert (found["rows"], found["columns"]) == (list(range(8)), list(range(4)))
    assert (found["name"], found["size"], found["keys"], found["covered"]) == ("attention", [8, 4], [4, 2], [1.0, 1.0])
    for index, (row, column) in enumerate(layer.queries):
        tile = atlas[4 * row : 4 * row + 4, 2 * column : 2 * column + 2]
        assert found["maxima"][index] == pytest.approx(layer.maps[index].max(), abs=1e-5)
        np.testing.assert_allclose(tile * found["maxima"][index], layer.maps[index], atol=1 / 255)
        np.testing.assert_allclose(tile, layer.maps[index] / layer.maps[index].max(), atol=0.5 / 255 + 1e-6)


def test_queries_at_some_of_the_locations() -> None:
    queries = grid([0, 3, 7], [1, 3])
    maps = np.random.default_rng(1).uniform(0.1, 1.0, (6, 4, 2)).astype(np.float32)
    found = read_data(make_attention_page("t", [attention(LayerAttention("a", SIZE, queries, maps))]))["images"][0][
        "layers"
    ][0]
    assert (found["rows"], found["columns"]) == ([0, 3, 7], [1, 3])
    tile = decode(found["atlas"])[4:8, 2:4]  # of (3, 3), the fourth query
    np.testing.assert_allclose(tile / 255.0, maps[3] / maps[3].max(), atol=0.5 / 255 + 1e-6)


def test_keys_that_do_not_cover_the_whole_image() -> None:
    layer = LayerAttention("a", (5, 4), grid(list(range(5)), list(range(4))), np.full((20, 2, 2), 0.25, np.float32))
    assert read_data(make_attention_page("t", [attention(layer)]))["images"][0]["layers"][0]["covered"] == [0.8, 1.0]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_page_contains_the_images(channels: int) -> None:
    image = np.random.default_rng(2).integers(0, 256, (*IMAGE_SIZE, channels), np.uint8)
    found = read_data(make_attention_page("t", [ImageAttention(image, "name", (random_layer(),))]))["images"][0]
    np.testing.assert_array_equal(decode(found["image"]), image[..., [0, 0, 0] if channels == 1 else [0, 1, 2]])
    assert (found["height"], found["width"]) == (256, 128)  # enlarged by a whole factor to the minimum height


def test_gray_images_as_data_urls() -> None:
    image = np.random.default_rng(2).integers(0, 256, (3, 5), np.uint8)
    np.testing.assert_array_equal(decode(encode_png_data_url(image)), image)
    np.testing.assert_array_equal(decode(encode_png_data_url(image[..., np.newaxis])), image)


NAMES = ["</script><b>x</b>", "<b>bold</b>", "a & b \"c\" 'd'", "日本 \u2028", "@TITLE@", "</SCRIPT >"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_escaped(name: str) -> None:
    page = make_attention_page(name, [attention(random_layer(name), name=name)])
    usual = Elements(make_attention_page("t", [attention(random_layer())]))
    found = Elements(page)
    assert found.tags == usual.tags
    assert html.unescape(re.search("<title>(.*?)</title>", page, re.S)[1]) == f"Attention: {name}"
    image = read_data(page)["images"][0]
    assert (image["name"], image["layers"][0]["name"]) == (name, name)


PROBE = """
<pre id="found"></pre>
<script>
const timer = setInterval(() => {
  if (document.body.dataset.ready !== "true") return;
  clearInterval(timer);
  const canvas = document.querySelector("canvas"), found = [];
  for (const [row, column] of PLACES) {
    const box = canvas.getBoundingClientRect();
    const where = {clientX: box.left + column * box.width, clientY: box.top + row * box.height};
    canvas.dispatchEvent(new PointerEvent("pointermove", where));
    const {data, width, height} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    // The maximum of the heat is yellow, that is more green than blue.
    let most = -1, places = [];
    for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
      const at = 4 * (y * width + x), yellow = data[at + 1] - data[at + 2];
      if (yellow > most) { most = yellow; places = []; }
      if (yellow === most) places.push([y, x]);
    }
    const [y, x] = [0, 1].map(axis => places.reduce((sum, place) => sum + place[axis] + 0.5, 0) / places.length);
    const [r, c] = [Math.floor(row * height), Math.floor(column * width)];
    const dot = [...data.slice(4 * (r * width + c), 4 * (r * width + c) + 3)];
    found.push({query: canvas.dataset.query, hottest: [y / height, x / width], most, dot});
  }
  const bold = document.querySelectorAll("b").length, labels = [...document.querySelectorAll("figcaption")];
  document.getElementById("found").textContent = JSON.stringify({found, bold, caption: labels[0].textContent});
}, 20);
</script>
"""


def run_in_chromium(page: str, places: list[tuple[float, float]], directory: pathlib.Path) -> dict[str, Any]:
    """Move the mouse to positions of the first image, in fractions of its size, and read what is shown."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed")
    file = directory / "page.html"
    file.write_text(page.replace("</body>", PROBE.replace("PLACES", json.dumps(places)) + "</body>"), encoding="utf-8")
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={directory / 'profile'}"]
    command += ["--virtual-time-budget=5000", "--dump-dom", file.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(html.unescape(re.search('<pre id="found">(.*?)</pre>', dom, re.S)[1]))


def test_in_a_browser(tmp_path: pathlib.Path) -> None:
    """The dot is at the query under the mouse, and the heat is on the key that it attends to."""
    places = [(0.52, 0.6), (0.01, 0.01), (0.99, 0.99), (0.24, 0.26), (0.26, 0.49)]
    name = "</script><b>x</b>"
    shown = run_in_chromium(make_attention_page(name, [attention(one_key_layer(), name=name)]), places, tmp_path)
    assert shown["bold"] == 0 and shown["caption"].startswith(name)
    for place, found in zip(places, shown["found"], strict=True):
        query = (int(place[0] * SIZE[0]), int(place[1] * SIZE[1]))
        assert found["query"] == f"{query[0]},{query[1]}"
        key = get_attended_key(np.array(query))
        assert found["most"] > 80  # of 0.65 * (231 - 37), mixed with gray
        for axis in (0, 1):
            assert key[axis] / KEYS[axis] <= found["hottest"][axis] <= (key[axis] + 1) / KEYS[axis]


def test_the_dot_in_a_browser(tmp_path: pathlib.Path) -> None:
    centers = [((row + 0.5) / SIZE[0], (column + 0.5) / SIZE[1]) for row, column in ((0, 0), (3, 2), (7, 3))]
    shown = run_in_chromium(make_attention_page("t", [attention(one_key_layer())]), centers, tmp_path)
    assert [found["dot"] for found in shown["found"]] == [[213, 94, 0]] * 3
