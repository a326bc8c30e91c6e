"""A self-contained HTML page: the mouse moves over a picture, and the page shows where this place looks."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from collections.abc import Sequence

import numpy as np
from PIL import Image

from sagan_tf.visualization.attention_maps import AttendedPicture, LayerMaps, as_rgb, covered_part
from sagan_tf.visualization.colors import heat_colours

_SHOWN_SIZE = 256
"""Pixels of a picture on the page, at least; whole multiples of its own."""


def attention_page(title: str, pictures: Sequence[AttendedPicture]) -> str:
    """Return the page, as one HTML text that needs no other file and no network."""
    data = {
        "colours": heat_colours(np.linspace(0.0, 1.0, 256)).tolist(),
        "pictures": [_picture_data(one) for one in pictures],
    }
    # "<" could begin a comment or end the script wherever it stood.
    texts = {"@DATA@": json.dumps(data, separators=(",", ":")).replace("<", "\\u003c"), "@TITLE@": html.escape(title)}
    return re.sub("|".join(texts), lambda match: texts[match[0]], _PAGE)


def png_data_url(image: np.ndarray) -> str:
    """Return a picture uint8 [height, width] or [height, width, 1, 3 or 4] as text that an <img> shows."""
    file = io.BytesIO()
    Image.fromarray(image[..., 0] if image.ndim == 3 and image.shape[-1] == 1 else image).save(file, format="PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _picture_data(picture: AttendedPicture) -> dict[str, object]:
    height, width = picture.image.shape[:2]
    factor = max(1, -(-_SHOWN_SIZE // height))
    return {
        "name": picture.name,
        "image": png_data_url(as_rgb(picture.image)),
        "height": height * factor,
        "width": width * factor,
        "layers": [_layer_data(layer) for layer in picture.layers],
    }


def _layer_data(layer: LayerMaps) -> dict[str, object]:
    """Return the maps as one grey picture, a tile a query, each scaled so that its most is 255."""
    rows, columns = (len(np.unique(layer.queries[:, axis])) for axis in (0, 1))
    key_height, key_width = layer.maps.shape[1:]
    most = layer.maps.max(axis=(1, 2), keepdims=True)
    tiles = np.rint(255.0 * layer.maps / np.maximum(most, 1e-12)).astype(np.uint8)
    atlas = tiles.reshape(rows, columns, key_height, key_width).transpose(0, 2, 1, 3)
    return {
        "name": layer.name,
        "size": list(layer.size),
        "rows": np.unique(layer.queries[:, 0]).tolist(),
        "columns": np.unique(layer.queries[:, 1]).tolist(),
        "keys": [key_height, key_width],
        # The part of the picture that the keys are of: all of it, unless a pooled side is odd.
        "covered": covered_part(layer.size, (key_height, key_width)),
        "most": [round(float(value), 5) for value in most.ravel()],
        "atlas": png_data_url(atlas.reshape(rows * key_height, columns * key_width)),
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
  .pictures { display: flex; flex-wrap: wrap; gap: 1.25rem; }
  figure { margin: 0; }
  figcaption { font-size: .9rem; margin-top: .3rem; display: flex; justify-content: space-between; gap: 1rem; }
  canvas { display: block; cursor: crosshair; border-radius: 3px; touch-action: none; outline-offset: 2px; }
  select, label { font: inherit; }
  .controls { display: flex; gap: 1.5rem; align-items: center; flex-wrap: wrap; margin-bottom: 1rem; }
  .scale { height: .8rem; width: 10rem; display: inline-block; vertical-align: middle; border-radius: 2px; }
</style>
</head>
<body>
<h1>Where the network looks: @TITLE@</h1>
<p>Move the mouse over a picture (or touch it, or use the arrow keys): bright is where the place under the dot looks.
Each map is scaled to its own brightest place; the number is the attention that falls on it.</p>
<div class="controls">
  <label>Layer <select id="layer"></select></label>
  <label>Picture <input id="blend" type="range" min="0" max="100" value="65" aria-label="heat"> heat</label>
  <span>none <span class="scale" id="scale"></span> most</span>
</div>
<div class="pictures" id="pictures"></div>
<script id="data" type="application/json">@DATA@</script>
<script>
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const layerChoice = document.getElementById("layer");
const blend = document.getElementById("blend");
const stops = data.colours.filter((_, i) => i % 15 === 0).map(c => `rgb(${c})`);
document.getElementById("scale").style.background = `linear-gradient(to right, ${stops})`;
for (const [index, layer] of data.pictures[0].layers.entries())
  layerChoice.add(new Option(`${layer.name} (${layer.size[0]} x ${layer.size[1]})`, index));

function loaded(source) {
  const image = new Image();
  image.src = source;
  return image.decode().then(() => image);
}

function pixels(image) {
  const canvas = document.createElement("canvas");
  canvas.width = image.width; canvas.height = image.height;
  const context = canvas.getContext("2d", {willReadFrequently: true});
  context.drawImage(image, 0, 0);
  return context.getImageData(0, 0, image.width, image.height).data;
}

function nearest(values, wanted) {
  let best = 0;
  values.forEach((value, index) => { if (Math.abs(value - wanted) < Math.abs(values[best] - wanted)) best = index; });
  return best;
}

class Picture {
  constructor(picture) {
    this.picture = picture;
    this.place = [0.5, 0.5];
    this.canvas = document.createElement("canvas");
    this.canvas.width = picture.width; this.canvas.height = picture.height;
    this.canvas.tabIndex = 0;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `attention map of ${picture.name}`);
    this.number = document.createElement("span");
    const figure = document.createElement("figure"), caption = document.createElement("figcaption");
    const name = document.createElement("span");
    name.textContent = picture.name;
    caption.append(name, this.number);
    figure.append(this.canvas, caption);
    document.getElementById("pictures").append(figure);
    this.canvas.addEventListener("pointermove", event => this.moveTo(event));
    this.canvas.addEventListener("pointerdown", event => this.moveTo(event));
    this.canvas.addEventListener("keydown", event => this.step(event));
  }

  async load() {
    this.image = await loaded(this.picture.image);
    this.atlases = [];
    for (const layer of this.picture.layers) {
      const image = await loaded(layer.atlas);
      this.atlases.push({pixels: pixels(image), width: image.width});
    }
    this.draw();
  }

  moveTo(event) {
    const box = this.canvas.getBoundingClientRect();
    this.place = [(event.clientY - box.top) / box.height, (event.clientX - box.left) / box.width];
    this.draw();
  }

  step(event) {
    const step = {ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1]}[event.key];
    if (!step) return;
    event.preventDefault();
    const size = this.picture.layers[layerChoice.value].size;
    this.place = this.place.map((value, axis) => Math.min(Math.max(value + step[axis] / size[axis], 0), 0.999));
    this.draw();
  }

  draw() {
    const layer = this.picture.layers[layerChoice.value], atlas = this.atlases[layerChoice.value];
    const row = nearest(layer.rows, this.place[0] * layer.size[0] - 0.5);
    const column = nearest(layer.columns, this.place[1] * layer.size[1] - 0.5);
    const [keyHeight, keyWidth] = layer.keys, {width, height} = this.canvas;
    const heat = document.createElement("canvas");
    heat.width = keyWidth; heat.height = keyHeight;
    const heatContext = heat.getContext("2d"), colours = heatContext.createImageData(keyWidth, keyHeight);
    for (let y = 0; y < keyHeight; y++) for (let x = 0; x < keyWidth; x++) {
      const value = atlas.pixels[4 * ((row * keyHeight + y) * atlas.width + column * keyWidth + x)];
      const share = blend.value / 100 * Math.sqrt(value / 255);
      colours.data.set([...data.colours[value], Math.round(255 * share)], 4 * (y * keyWidth + x));
    }
    heatContext.putImageData(colours, 0, 0);
    const context = this.canvas.getContext("2d");
    context.imageSmoothingEnabled = false;
    context.filter = blend.value > 0 ? "grayscale(1) brightness(0.85)" : "none";
    context.drawImage(this.image, 0, 0, width, height);
    context.filter = "none";
    context.imageSmoothingEnabled = true;
    context.drawImage(heat, 0, 0, width * layer.covered[1], height * layer.covered[0]);
    const y = (layer.rows[row] + 0.5) * height / layer.size[0];
    const x = (layer.columns[column] + 0.5) * width / layer.size[1];
    for (const [radius, colour] of [[7, "black"], [5.5, "white"], [4, "#d55e00"]]) {
      context.beginPath(); context.arc(x, y, radius, 0, 2 * Math.PI); context.fillStyle = colour; context.fill();
    }
    const most = layer.most[row * layer.columns.length + column];
    const percent = most < 0.0995 ? (100 * most).toPrecision(2) : Math.round(100 * most);
    this.number.textContent = `${percent} % on the brightest`;
    this.canvas.dataset.query = `${layer.rows[row]},${layer.columns[column]}`;
  }
}

const shown = data.pictures.map(picture => new Picture(picture));
Promise.all(shown.map(one => one.load())).then(() => { document.body.dataset.ready = "true"; });
for (const control of [layerChoice, blend]) control.addEventListener("input", () => shown.forEach(one => one.draw()));
</script>
</body>
</html>
"""
