"""A self-contained HTML page that shows the attention map of the query under the mouse."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from sagan_tf.visualization.attention_maps import ImageAttention, LayerAttention, compute_covered_part, convert_to_rgb
from sagan_tf.visualization.colors import map_to_heat_colors

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
    # Escape every "<", because it could start a comment or end the script.
    texts = {"@DATA@": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"), "@TITLE@": html.escape(title)}
    return re.sub("|".join(texts), lambda match: texts[match[0]], _PAGE)


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


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Attention: @TITLE@</title>
<style>
  body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 1200px; padding: 0 1rem; color: #1b1b1b; }
  h1 { font-size: 1.25rem; margin: 0 0 .25rem; }
  p { margin: .25rem 0 1rem; color: #444; max-width: 46rem; }
  .images { display: flex; flex-wrap: wrap; gap: 1.25rem; }
  figure { margin: 0; }
  figcaption { font-size: .9rem; margin-top: .3rem; display: flex; justify-content: space-between; gap: 1rem; }
  canvas { display: block; cursor: crosshair; border-radius: 3px; touch-action: none; outline-offset: 2px; }
  select, label { font: inherit; }
  .controls { display: flex; gap: 1.5rem; align-items: center; flex-wrap: wrap; margin-bottom: 1rem; }
  .scale { height: .8rem; width: 10rem; display: inline-block; vertical-align: middle; border-radius: 2px; }
</style>
</head>
<body>
<h1>Attention maps: @TITLE@</h1>
<p>Move the mouse over an image, touch it, or use the arrow keys. Bright areas receive the most attention from the query
under the dot. Each map is scaled to its own maximum; the number is the attention at this maximum.</p>
<div class="controls">
  <label>Layer <select id="layer"></select></label>
  <label>Image <input id="blend" type="range" min="0" max="100" value="65" aria-label="heat"> heat</label>
  <span>0 <span class="scale" id="scale"></span> maximum</span>
</div>
<div class="images" id="images"></div>
<script id="data" type="application/json">@DATA@</script>
<script>
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const layerChoice = document.getElementById("layer");
const blend = document.getElementById("blend");
const stops = data.colors.filter((_, i) => i % 15 === 0).map(color => `rgb(${color})`);
document.getElementById("scale").style.background = `linear-gradient(to right, ${stops})`;
for (const [index, layer] of data.images[0].layers.entries())
  layerChoice.add(new Option(`${layer.name} (${layer.size[0]} x ${layer.size[1]})`, index));

function loadImage(source) {
  const image = new Image();
  image.src = source;
  return image.decode().then(() => image);
}

function readPixels(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.width; canvas.height = image.height;
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, image.width, image.height).data;
}

function findNearest(values, target) {
  let best = 0;
  values.forEach((value, index) => { if (Math.abs(value - target) < Math.abs(values[best] - target)) best = index; });
  return best;
}

class ImageView {
  constructor(entry) {
    this.entry = entry;
    this.position = [0.5, 0.5];
    this.canvas = document.createElement("canvas");
    this.canvas.width = entry.width; this.canvas.height = entry.height;
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `attention map of ${entry.name}`);
    this.number = document.createElement("span");
    const figure = document.createElement("figure"), caption = document.createElement("figcaption");
    const name = document.createElement("span");
    name.textContent = entry.name;
    caption.append(name, this.number);
    figure.append(this.canvas, caption);
    document.getElementById("images").append(figure);
    this.canvas.addEventListener("pointermove", event => this.moveTo(event));
    this.canvas.addEventListener("pointerdown", event => this.moveTo(event));
    this.canvas.addEventListener("keydown", event => this.step(event));
  }

  async load() {
    this.image = await loadImage(this.entry.image);
    this.atlases = [];
    for (const layer of this.entry.layers) {
      const image = await loadImage(layer.atlas);
      this.atlases.push({pixels: readPixels(image), width: image.width});
    }
    this.draw();
  }

  moveTo(event) {
    const box = this.canvas.getBoundingClientRect();
    this.position = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
    this.draw();
  }

  step(event) {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    if (!step) return;
    event.preventDefault();
    const size = this.entry.layers[layerChoice.value].size;
    this.position = this.position.map((value, axis) => Math.min(Math.max(value + step[axis] / size[axis], 0), 0.999));
    this.draw();
  }

  draw() {
    const layer = this.entry.layers[layerChoice.value], atlas = this.atlases[layerChoice.value];
    const row = findNearest(layer.rows, this.position[0] * layer.size[0] - 0.5);
    const column = findNearest(layer.columns, this.position[1] * layer.size[1] - 0.5);
    const [keyHeight, keyWidth] = layer.keys, {width, height} = this.canvas;
    const heat = document.createElement("canvas");
    heat.width = keyWidth; heat.height = keyHeight;
    const heatContext = heat.getContext("2d"), colors = heatContext.createImageData(keyWidth, keyHeight);
    for (let y = 0; y < keyHeight; y++) for (let x = 0; x < keyWidth; x++) {
      const value = atlas.pixels[4 * ((row * keyHeight + y) * atlas.width + column * keyWidth + x)];
      const opacity = blend.value / 100 * Math.sqrt(value / 255);
      colors.data.set([...data.colors[value], Math.round(255 * opacity)], 4 * (y * keyWidth + x));
    }
    heatContext.putImageData(colors, 0, 0);
    const context = this.canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.filter = blend.value > 0 ? "grayscale(1) brightness(0.85)" : "none";
    context.drawImage(this.image, 0, 0, width, height);
    context.filter = "none";
    context.imageSmoothingEnabled = true;
    context.drawImage(heat, 0, 0, width * layer.covered[1], height * layer.covered[0]);
    const y = (layer.rows[row] + 0.5) * height / layer.size[0];
    const x = (layer.columns[column] + 0.5) * width / layer.size[1];
    for (const [radius, color] of [[7, "black"], [5.5, "white"], [4, "#d55e00"]]) {
      context.beginPath(); context.arc(x, y, radius, 0, 2 * Math.PI); context.fillStyle = color; context.fill();
    }
    const maximum = layer.maxima[row * layer.columns.length + column];
    const percent = maximum < 0.0995 ? (100 * maximum).toPrecision(2) : Math.round(100 * maximum);
    this.number.textContent = `maximum: ${percent} %`;
    this.canvas.dataset.query = `${layer.rows[row]},${layer.columns[column]}`;
  }
}

const views = data.images.map(entry => new ImageView(entry));
Promise.all(views.map(view => view.load())).then(() => { document.body.dataset.ready = "true"; });
for (const control of [layerChoice, blend]) control.addEventListener("input", () => views.forEach(view => view.draw()));
</script>
</body>
</html>
"""
