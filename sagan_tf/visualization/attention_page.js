// Shows the attention map of the query under the mouse; the element `data` has the images and their maps.
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
