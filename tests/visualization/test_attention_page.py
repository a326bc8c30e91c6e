"""The page of attention maps: what it holds, that it holds it safely, and what a browser makes of it."""

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

from sagan_tf.visualization.attention_maps import AttendedPicture, LayerMaps
from sagan_tf.visualization.attention_page import attention_page, png_data_url

SIZE, KEYS, PICTURE = (8, 4), (4, 2), (64, 32)


def grid(rows: list[int], columns: list[int]) -> np.ndarray:
    return np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2).astype(np.int32)


def random_layer(name: str = "attention", keys: tuple[int, int] = KEYS) -> LayerMaps:
    queries = grid(list(range(8)), list(range(4)))
    maps = np.random.default_rng(5).exponential(size=(len(queries), *keys))
    return LayerMaps(name, SIZE, queries, (maps / maps.sum(axis=(1, 2), keepdims=True)).astype(np.float32))


def looked_at(query: np.ndarray) -> tuple[int, int]:
    """The key that a location looks at in `pointed_layer`: never the one that it lies in."""
    return (int(query[0]) // 2 + 1) % 4, (int(query[1]) // 2 + 1) % 2


def pointed_layer(name: str = "attention") -> LayerMaps:
    queries = grid(list(range(8)), list(range(4)))
    maps = np.zeros((len(queries), *KEYS), np.float32)
    for index, query in enumerate(queries):
        maps[(index, *looked_at(query))] = 1.0
    return LayerMaps(name, SIZE, queries, maps)


def picture(*layers: LayerMaps, name: str = "boot seed 1", channels: int = 1) -> AttendedPicture:
    return AttendedPicture(np.full((*PICTURE, channels), 100, np.uint8), name, layers)


class Elements(html.parser.HTMLParser):
    """Start tags with their attributes, and the text of the script with the data and of the title."""

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


def data_of(page: str) -> dict[str, Any]:
    return json.loads(Elements(page).texts["data"])


def decoded(url: str) -> np.ndarray:
    assert url.startswith("data:image/png;base64,")
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(url.removeprefix("data:image/png;base64,")))))


def test_it_needs_nothing_else() -> None:
    page = attention_page("generator of run", [picture(random_layer())])
    assert not re.search(r"(https?:)?//[a-z]", page) and "@import" not in page and "url(" not in page
    for tag, attributes in Elements(page).tags:
        assert tag not in ("link", "iframe", "object", "embed") and not {"src", "href"} & attributes.keys()


def test_maps_come_back() -> None:
    """To the steps of 8 bits, each map scaled to its own most."""
    layer = random_layer()
    (one,) = data_of(attention_page("t", [picture(layer)]))["pictures"]
    (found,) = one["layers"]
    atlas = decoded(found["atlas"]).astype(np.float64) / 255.0
    assert atlas.shape == (8 * 4, 4 * 2)
    assert (found["rows"], found["columns"]) == (list(range(8)), list(range(4)))
    assert (found["name"], found["size"], found["keys"], found["covered"]) == ("attention", [8, 4], [4, 2], [1.0, 1.0])
    for index, (row, column) in enumerate(layer.queries):
        tile = atlas[4 * row : 4 * row + 4, 2 * column : 2 * column + 2]
        assert found["most"][index] == pytest.approx(layer.maps[index].max(), abs=1e-5)
        np.testing.assert_allclose(tile * found["most"][index], layer.maps[index], atol=1 / 255)
        np.testing.assert_allclose(tile, layer.maps[index] / layer.maps[index].max(), atol=0.5 / 255 + 1e-6)


def test_queries_that_are_a_part_of_the_locations() -> None:
    queries = grid([0, 3, 7], [1, 3])
    maps = np.random.default_rng(1).uniform(0.1, 1.0, (6, 4, 2)).astype(np.float32)
    found = data_of(attention_page("t", [picture(LayerMaps("a", SIZE, queries, maps))]))["pictures"][0]["layers"][0]
    assert (found["rows"], found["columns"]) == ([0, 3, 7], [1, 3])
    tile = decoded(found["atlas"])[4:8, 2:4]  # of (3, 3), the fourth query
    np.testing.assert_allclose(tile / 255.0, maps[3] / maps[3].max(), atol=0.5 / 255 + 1e-6)


def test_keys_that_do_not_cover_everything() -> None:
    layer = LayerMaps("a", (5, 4), grid(list(range(5)), list(range(4))), np.full((20, 2, 2), 0.25, np.float32))
    assert data_of(attention_page("t", [picture(layer)]))["pictures"][0]["layers"][0]["covered"] == [0.8, 1.0]


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_come_back(channels: int) -> None:
    image = np.random.default_rng(2).integers(0, 256, (*PICTURE, channels), np.uint8)
    found = data_of(attention_page("t", [AttendedPicture(image, "name", (random_layer(),))]))["pictures"][0]
    np.testing.assert_array_equal(decoded(found["image"]), image[..., [0, 0, 0] if channels == 1 else [0, 1, 2]])
    assert (found["height"], found["width"]) == (256, 128)  # the least size, in whole multiples


def test_grey_pictures_as_text() -> None:
    image = np.random.default_rng(2).integers(0, 256, (3, 5), np.uint8)
    np.testing.assert_array_equal(decoded(png_data_url(image)), image)
    np.testing.assert_array_equal(decoded(png_data_url(image[..., np.newaxis])), image)


NAMES = ["</script><b>x</b>", "<b>bold</b>", "a & b \"c\" 'd'", "日本 \u2028", "@TITLE@", "</SCRIPT >"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_text(name: str) -> None:
    page = attention_page(name, [picture(random_layer(name), name=name)])
    usual = Elements(attention_page("t", [picture(random_layer())]))
    found = Elements(page)
    assert found.tags == usual.tags
    assert html.unescape(re.search("<title>(.*?)</title>", page, re.S)[1]) == f"Attention: {name}"
    one = data_of(page)["pictures"][0]
    assert (one["name"], one["layers"][0]["name"]) == (name, name)


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
    // Heat is yellow where it is most: more green than blue.
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


def in_chromium(page: str, places: list[tuple[float, float]], folder: pathlib.Path) -> dict[str, Any]:
    """What a browser shows when the mouse is at some places of the first picture, in fractions of it."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("no chromium")
    file = folder / "page.html"
    file.write_text(page.replace("</body>", PROBE.replace("PLACES", json.dumps(places)) + "</body>"), encoding="utf-8")
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    command += ["--virtual-time-budget=5000", "--dump-dom", file.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return json.loads(html.unescape(re.search('<pre id="found">(.*?)</pre>', dom, re.S)[1]))


def test_in_a_browser(tmp_path: pathlib.Path) -> None:
    """The dot is at the location under the mouse, and the heat on the key that this location looks at."""
    places = [(0.52, 0.6), (0.01, 0.01), (0.99, 0.99), (0.24, 0.26), (0.26, 0.49)]
    name = "</script><b>x</b>"
    shown = in_chromium(attention_page(name, [picture(pointed_layer(), name=name)]), places, tmp_path)
    assert shown["bold"] == 0 and shown["caption"].startswith(name)
    for place, found in zip(places, shown["found"], strict=True):
        query = (int(place[0] * SIZE[0]), int(place[1] * SIZE[1]))
        assert found["query"] == f"{query[0]},{query[1]}"
        key = looked_at(np.array(query))
        assert found["most"] > 80  # of 0.65 * (231 - 37), in part grey
        for axis in (0, 1):
            assert key[axis] / KEYS[axis] <= found["hottest"][axis] <= (key[axis] + 1) / KEYS[axis]


def test_the_dot_in_a_browser(tmp_path: pathlib.Path) -> None:
    centres = [((row + 0.5) / SIZE[0], (column + 0.5) / SIZE[1]) for row, column in ((0, 0), (3, 2), (7, 3))]
    shown = in_chromium(attention_page("t", [picture(pointed_layer())]), centres, tmp_path)
    assert [found["dot"] for found in shown["found"]] == [[213, 94, 0]] * 3
