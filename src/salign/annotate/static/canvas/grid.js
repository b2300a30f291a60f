/** An image as the tools for regions see it: a grid of pixels, at most `SIDE` on a side however large the image is. */

import { paint } from "./paint.js";
import { flood, joined, trace } from "./trace.js";

const SIDE = 800;
const OFF = 0.75; // grid pixels by which an outline may be off: as much as makes a slanting line of a staircase
const SPECK = 25; // grid pixels: a smaller hole or spot of a colour is left out
const MOST = 10_000; // points of an outline; one that is more ragged loses larger holes and spots, too

/** @type {Worker | null} */
let worker = null;
let requests = 0;

/** Have superpixels made beside the page. @returns {Promise<{labels: Int32Array, boxes: Int32Array}>} */
function make(message) {
  worker ??= new Worker("/static/canvas/segmenter.js", { type: "module" });
  const id = (requests += 1);
  return new Promise((resolve, reject) => {
    const answered = ({ data }) => {
      if (data.id !== id) return;
      worker.removeEventListener("message", answered);
      resolve(data);
    };
    worker.addEventListener("message", answered);
    worker.addEventListener("error", reject, { once: true });
    worker.postMessage({ id, ...message });
  });
}

export class Grid {
  #cells = new Map();

  /** @param {ImageBitmap} bitmap of the image @param {number} width @param {number} height of the original */
  constructor(bitmap, width, height) {
    const scale = Math.min(1, SIDE / Math.max(width, height));
    this.width = Math.max(1, Math.round(width * scale));
    this.height = Math.max(1, Math.round(height * scale));
    this.across = width / this.width; // original pixels of a grid pixel
    this.down = height / this.height;
    const context = this.#canvas(this.width, this.height);
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, this.width, this.height);
    this.pixels = context.getImageData(0, 0, this.width, this.height).data;
  }

  #canvas(width, height) {
    return Object.assign(document.createElement("canvas"), { width, height }).getContext("2d", { willReadFrequently: true });
  }

  /** Column and row of a point of the image; null outside. */
  at({ x, y }) {
    const [column, row] = [Math.floor(x / this.across), Math.floor(y / this.down)];
    return column >= 0 && row >= 0 && column < this.width && row < this.height ? [column, row] : null;
  }

  /** The cells of about this side, as a share of the image's longer one. @returns {Promise<Cells>} the same each time */
  cells(share) {
    if (!this.#cells.has(share)) {
      const { pixels, width, height } = this;
      const size = Math.max(2, share * Math.max(width, height));
      const made = make({ pixels, width, height, size }).then(({ labels, boxes }) => new Cells(this, labels, boxes));
      made.catch(() => this.#cells.delete(share));
      this.#cells.set(share, made);
    }
    return this.#cells.get(share);
  }

  /** Points of a polygon around the pixels of about the colour at a point. */
  alike([column, row], tolerance) {
    const inside = flood(this.pixels, this.width, this.height, column, row, tolerance);
    for (let smallest = Math.min(SPECK, this.pixels.length / 4000); ; smallest *= 4) {
      const points = this.outline(inside, [0, 0, this.width, this.height], smallest);
      if (points.length <= MOST) return points;
    }
  }

  /**
   * Points, in the image, of a polygon around what is in.
   * @param {Uint8Array} inside 1 or 0 of each pixel in the box @param {number[]} box left, top, right, bottom
   */
  outline(inside, [left, top, right, bottom], smallest = 0) {
    const place = ([x, y]) => [(left + x) * this.across, (top + y) * this.down];
    const off = Math.min(OFF, Math.max(this.width, this.height) / SIDE) * Math.max(this.across, this.down);
    return joined(trace(inside, right - left, bottom - top), place, off, smallest);
  }

  /** How much of each pixel in a box is painted by shapes, 0 to 255. */
  painted(shapes, [left, top, right, bottom]) {
    const context = this.#canvas(right - left, bottom - top);
    context.setTransform(1 / this.across, 0, 0, 1 / this.down, -left, -top);
    paint(context, shapes, [left * this.across, top * this.down, right * this.across, bottom * this.down]);
    return context.getImageData(0, 0, right - left, bottom - top).data.filter((_, i) => i % 4 === 3);
  }
}

/** The superpixels of a grid. */
export class Cells {
  #shapes = new Map();

  /** @param {Grid} grid @param {Int32Array} labels the cell of each pixel @param {Int32Array} boxes four numbers a cell */
  constructor(grid, labels, boxes) {
    Object.assign(this, { grid, labels, boxes });
  }

  /** The cell at a point of the image; -1 outside. */
  at(point) {
    const found = this.grid.at(point);
    return found ? this.labels[found[1] * this.grid.width + found[0]] : -1;
  }

  /** Which pixels are in some cells: 1 or 0 of each in the box around them. @param {Set<number>} cells */
  #inside(cells) {
    const { labels, boxes, grid } = this;
    const box = [grid.width, grid.height, 0, 0];
    for (const cell of cells) {
      for (let k = 0; k < 4; k += 1) box[k] = (k < 2 ? Math.min : Math.max)(box[k], boxes[4 * cell + k]);
    }
    const [left, top, right, bottom] = box;
    const inside = new Uint8Array((right - left) * (bottom - top));
    for (let y = top, i = 0; y < bottom; y += 1) {
      for (let x = left; x < right; x += 1, i += 1) inside[i] = cells.has(labels[y * grid.width + x]) ? 1 : 0;
    }
    return { inside, box };
  }

  /** Points of a polygon around some cells. @param {Set<number>} cells */
  outline(cells) {
    const { inside, box } = this.#inside(cells);
    return this.grid.outline(inside, box);
  }

  /** The same of one cell, as a shape, made once. */
  shapeOf(cell) {
    if (!this.#shapes.has(cell)) this.#shapes.set(cell, { kind: "polygon", points: this.outline(new Set([cell])) });
    return this.#shapes.get(cell);
  }

  /** Whether shapes paint more than half of a cell. */
  isPainted(cell, shapes) {
    const { inside, box } = this.#inside(new Set([cell]));
    const alpha = this.grid.painted(shapes, box);
    let [painted, all] = [0, 0];
    inside.forEach((one, i) => {
      all += one;
      painted += one * alpha[i];
    });
    return painted > 127.5 * all;
  }
}
