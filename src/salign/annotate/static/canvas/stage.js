/**
 * One image with its marks: five canvases on top of each other, all of the screen's resolution, whatever the image's.
 *
 * picture, heat (somebody's map), marks, edges (of the marks), overlay (cursor and what is being placed). A frame
 * redraws only what changed; a stroke being painted only adds its newest stretch to the marks, and edges around it.
 */

import { boxOf, edge, fill, outline, paint, trail } from "./paint.js";
import { blurred } from "./reveal.js";
import { View } from "./view.js";

const LAYERS = ["picture", "heat", "marks", "edges", "overlay"];
const SMOOTH_BELOW = 4; // screen pixels per bitmap pixel; above, pixels are shown as squares

export class Stage {
  /**
   * @param {string} label for screen readers @param {string} badge shown in the corner, if any
   * @param {number} blur what hides the image but for the latest mark, as a share of its longer side; 0 for none
   */
  constructor(label, badge = "", blur = 0) {
    this.blur = blur;
    /** The blurred image. @type {HTMLCanvasElement | null} */
    this.hidden = null;
    this.element = document.createElement("div");
    this.element.className = "stage";
    this.element.tabIndex = 0;
    this.element.setAttribute("role", "application");
    this.element.setAttribute("aria-label", label);
    this.element.setAttribute("aria-describedby", "stage-help");
    this.layers = Object.fromEntries(LAYERS.map((name) => [name, this.#layer(name)]));
    this.brush = this.element.appendChild(Object.assign(document.createElement("div"), { className: "ring", hidden: true }));
    if (badge) this.element.append(Object.assign(document.createElement("span"), { className: "badge", textContent: badge }));
    this.view = new View(1, 1);
    this.shapes = [];
    /** What tools for regions see of the image; null until one of them looks. @type {import("./grid.js").Grid | null} */
    this.grid = null;
    /** @type {ImageBitmap | null} */
    this.bitmap = null;
    /** @type {ImageBitmap | HTMLCanvasElement | null} */
    this.heat = null;
    this.heatShapes = [];
    /** Draws on top, in CSS pixels. @type {(context: CanvasRenderingContext2D, stage: Stage) => void} */
    this.drawOverlay = () => {};
    this.onDrawn = () => {};
    this.onView = () => {};
    this.dirty = new Set();
    /** The part of the image whose edges are to be drawn again; null for all of it. @type {number[] | null} */
    this.touched = null;
    this.frame = 0;
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(this.element);
  }

  close() {
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
    this.element.remove();
  }

  /** Show another image of `width` x `height` original pixels; the bitmap may be smaller. */
  open(width, height, bitmap) {
    this.view = new View(width, height);
    this.view.resize(this.element.clientWidth, this.element.clientHeight);
    this.grid = null;
    this.setBitmap(bitmap);
    this.setHeat(null);
    this.changedView();
  }

  setBitmap(bitmap) {
    this.bitmap = bitmap;
    this.hidden = this.blur && bitmap ? blurred(bitmap, this.blur) : null;
    this.invalidate("picture");
  }

  /** @param {ImageBitmap | HTMLCanvasElement | null} heat @param {object[]} shapes shown where there is no map */
  setHeat(heat, shapes = []) {
    this.heat = heat;
    this.heatShapes = shapes;
    this.invalidate("heat");
  }

  setShapes(shapes) {
    this.shapes = shapes;
    this.invalidate("marks", "overlay", ...(this.hidden ? ["picture"] : []));
  }

  /** Paint the newest stretch of a stroke, from point `from` on. */
  extend(points, radii, from, erase) {
    const since = Math.max(0, from - 1);
    this.add({ path: trail(points, radii, from), box: boxOf(points.slice(since), Math.max(...radii.slice(since))) }, erase);
  }

  /** Paint something more on the marks, until they are drawn again. @param {{path: Path2D, box: number[]}} outline */
  add({ path, box }, erase) {
    const context = this.layers.marks;
    this.#toImage(context);
    context.fillStyle = this.colour("--mark");
    fill(context, path, erase);
    this.#touch(box);
  }

  /** Show the brush; an element of its own, so that following the pointer redraws no canvas. @param {number[] | null} at x, y, radius */
  ring(at) {
    this.brush.hidden = !at;
    if (!at) return;
    const [x, y] = this.view.toScreen(at[0], at[1]);
    const radius = Math.max(1, at[2] * this.view.scale);
    const { style } = this.brush;
    style.width = style.height = `${2 * radius}px`;
    style.transform = `translate(${x - radius}px, ${y - radius}px)`;
  }

  changedView() {
    this.invalidate(...LAYERS);
    this.onView(this);
  }

  /** Draw layers again with the next frame; with the marks, all of their edges. */
  invalidate(...layers) {
    for (const layer of layers) this.dirty.add(layer);
    if (layers.includes("marks")) {
      this.dirty.add("edges");
      this.touched = null;
    }
    this.frame ||= requestAnimationFrame(() => this.#draw());
  }

  /** Draw the edges in a box of the image again. */
  #touch([left, top, right, bottom]) {
    const before = this.touched ?? [left, top, right, bottom];
    if (!this.dirty.has("edges") || this.touched) this.touched = boxOf([[left, top], [right, bottom], before.slice(0, 2), before.slice(2)]);
    this.invalidate("edges");
  }

  colour(name) {
    this.colours ??= getComputedStyle(this.element);
    return this.colours.getPropertyValue(name).trim();
  }

  /** Screen pixels per CSS pixel that are drawn. */
  get density() {
    return Math.min(2, devicePixelRatio || 1);
  }

  #layer(name) {
    const canvas = Object.assign(document.createElement("canvas"), { className: name });
    canvas.setAttribute("aria-hidden", "true");
    this.element.append(canvas);
    return canvas.getContext("2d");
  }

  #resize() {
    const { clientWidth: across, clientHeight: down } = this.element;
    if (!across || !down) return;
    for (const { canvas } of Object.values(this.layers)) {
      canvas.width = Math.round(across * this.density);
      canvas.height = Math.round(down * this.density);
    }
    this.view.resize(across, down);
    this.changedView();
    cancelAnimationFrame(this.frame); // a canvas that changed its size is blank: draw before it is shown
    this.#draw();
  }

  #toImage(context) {
    const { scale, x, y } = this.view;
    context.setTransform(scale * this.density, 0, 0, scale * this.density, x * this.density, y * this.density);
  }

  /** A box of the image on the canvases. */
  #onCanvas([left, top, right, bottom]) {
    return [...this.view.toScreen(left, top), ...this.view.toScreen(right, bottom)].map((at) => at * this.density);
  }

  #clear(context) {
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.globalCompositeOperation = "source-over";
    context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  }

  #draw() {
    this.frame = 0;
    const dirty = LAYERS.filter((name) => this.dirty.has(name));
    this.dirty.clear();
    const visible = this.view.visible();
    for (const name of dirty) {
      const context = this.layers[name];
      if (name === "edges") {
        edge(context, this.layers.marks.canvas, this.density, this.touched && this.#onCanvas(this.touched));
        this.touched = null;
        continue;
      }
      this.#clear(context);
      if (name === "overlay") {
        context.setTransform(this.density, 0, 0, this.density, 0, 0);
        this.drawOverlay(context, this);
        continue;
      }
      this.#toImage(context);
      if (name === "picture" && this.bitmap) this.#picture(context, visible);
      if (name === "heat" && this.heat) this.#stretch(context, this.heat, visible);
      if (name === "heat" && this.heatShapes.length) this.#shapes(context, this.heatShapes, "--heat", visible);
      if (name === "marks") this.#shapes(context, this.shapes, "--mark", visible);
    }
    this.onDrawn(this, dirty);
  }

  /** The image; of a hidden one what its latest mark shows. */
  #picture(context, visible) {
    if (!this.hidden) return this.#stretch(context, this.bitmap, visible);
    this.#stretch(context, this.hidden, visible, true);
    if (!this.shapes.length) return undefined;
    context.save();
    context.clip(outline(this.shapes.at(-1)).path);
    this.#stretch(context, this.bitmap, visible);
    return context.restore();
  }

  #shapes(context, shapes, colour, visible) {
    context.fillStyle = this.colour(colour);
    paint(context, shapes, visible);
  }

  /** The visible part of a bitmap that covers the image. */
  #stretch(context, bitmap, visible, smooth = false) {
    if (!visible) return;
    const [left, top, right, bottom] = visible;
    const [across, down] = [bitmap.width / this.view.width, bitmap.height / this.view.height];
    context.imageSmoothingEnabled = smooth || (this.view.scale * this.density) / across < SMOOTH_BELOW;
    context.drawImage(
      bitmap,
      left * across, top * down, (right - left) * across, (bottom - top) * down,
      left, top, right - left, bottom - top,
    );
  }
}
