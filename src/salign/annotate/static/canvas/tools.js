/**
 * Brush, eraser, polygon, box, ellipse: each turns points into a shape. The same calls serve mouse, pen, touch and keyboard.
 *
 * @typedef {{x: number, y: number, pressure: number, at: number, alt: boolean}} Point image pixels; pressure 1 is the
 *   brush as set; ms; whether Alt is held
 * @typedef {object} Desk what a tool works on: `radius` in image pixels, `commit(shape)`, `replace(shape, shapes)`,
 *   `changed()` to draw again, `panel()` with its sliders and switches
 */

import { round, simplify } from "../simplify.js";

const NEAR = 12; // CSS pixels within which a click closes a polygon

export class Tool {
  /** @param {import("./stage.js").Stage} stage @param {Desk} desk */
  constructor(stage, desk) {
    Object.assign(this, { stage, desk, points: [], times: [] });
  }

  /** Whether a press is all there is to it: the keyboard then need not let go. */
  clicks = false;

  /** Whether something is begun that is not a shape yet. */
  get busy() {
    return this.points.length > 0;
  }

  cancel() {
    [this.points, this.times] = [[], []];
    this.desk.changed();
  }

  /** The press that has just begun was none: a second finger came. */
  interrupt() {
    this.cancel();
  }

  note({ x, y, at }) {
    this.points.push([x, y]);
    this.times.push(Math.round(at));
  }
}

export class Brush extends Tool {
  erase = false;

  down(point) {
    [this.points, this.times, this.radii] = [[], [], []];
    this.#add(point);
  }

  /** @param {Point[]} points since the last frame, all of them */
  move(points) {
    if (!this.busy) return;
    const from = this.points.length;
    for (const point of points) this.#add(point);
    if (this.points.length > from) this.stage.extend(this.points, this.radii, from, this.erase);
  }

  up() {
    if (!this.busy) return;
    const stroke = simplify(this.points, this.radii, this.times);
    [this.points, this.times] = [[], []];
    this.desk.commit(this.stage, { kind: "stroke", ...stroke, erase: this.erase }, true);
  }

  cancel() {
    super.cancel();
    this.stage.invalidate("marks");
  }

  #add(point) {
    const radius = Math.max(0.25, this.desk.radius(this.stage) * point.pressure);
    const last = this.points.at(-1);
    if (last && Math.hypot(point.x - last[0], point.y - last[1]) < 0.05 && radius === this.radii.at(-1)) return;
    this.note(point);
    this.radii.push(radius);
    if (this.points.length === 1) this.stage.extend(this.points, this.radii, 0, this.erase);
  }

  overlay() {}
}

export class Eraser extends Brush {
  erase = true;
}

export class Box extends Tool {
  down(point) {
    this.cancel();
    this.note(point);
    this.note(point);
  }

  move(points) {
    if (!this.busy) return;
    const { x, y, at } = points.at(-1);
    this.points[1] = [x, y];
    this.times[1] = Math.round(at);
    this.desk.changed();
  }

  up() {
    if (!this.busy) return;
    const [[ax, ay], [bx, by]] = this.points;
    const { times } = this;
    this.cancel();
    if (ax === bx || ay === by) return;
    const points = [
      [round(Math.min(ax, bx)), round(Math.min(ay, by))],
      [round(Math.max(ax, bx)), round(Math.max(ay, by))],
    ];
    this.desk.commit(this.stage, this.shape(points, times), false);
  }

  /** @param {number[][]} points top left and bottom right corner */
  shape(points, times) {
    return { kind: "box", points, erase: false, times };
  }

  overlay(context) {
    if (this.busy) strand(context, this.stage, this.rim(this.points), true);
  }

  /** What is shown between two corners. */
  rim([[ax, ay], [bx, by]]) {
    return [[ax, ay], [bx, ay], [bx, by], [ax, by]];
  }
}

/** The ellipse in a box; as there is no such shape, it becomes a polygon. */
export class Ellipse extends Box {
  shape(points, [first, last]) {
    const rim = this.rim(points);
    return { kind: "polygon", points: rim, erase: false, times: rim.map((_, i) => (i ? last : first)) };
  }

  rim(points) {
    return ellipse(points);
  }
}

const OFF = 0.05; // image pixels between an ellipse and its polygon
const [FEWEST, MOST] = [32, 256]; // points of that polygon

/** Points of the ellipse between two corners, clockwise from the right. @returns {number[][]} */
export function ellipse([[ax, ay], [bx, by]]) {
  const [across, down] = [Math.abs(bx - ax) / 2, Math.abs(by - ay) / 2];
  const needed = Math.PI / Math.acos(1 - Math.min(1, OFF / Math.max(across, down))); // the chord's sagitta is OFF then
  const count = Math.min(MOST, Math.max(FEWEST, Math.ceil(needed)));
  return Array.from({ length: count }, (_, i) => {
    const turn = (2 * Math.PI * i) / count;
    return [round((ax + bx) / 2 + across * Math.cos(turn)), round((ay + by) / 2 + down * Math.sin(turn))];
  });
}

export class Polygon extends Tool {
  clicks = true;

  get message() {
    return this.busy ? `Point ${this.points.length}` : "Polygon finished";
  }

  /** A click places a point; one near the first closes. */
  down(point) {
    const [x, y] = this.stage.view.toScreen(point.x, point.y);
    const first = this.busy ? this.stage.view.toScreen(...this.points[0]) : [Infinity, Infinity];
    const last = this.busy ? this.stage.view.toScreen(...this.points.at(-1)) : [Infinity, Infinity];
    if (this.points.length >= 3 && Math.hypot(x - first[0], y - first[1]) <= NEAR) return this.finish();
    if (Math.hypot(x - last[0], y - last[1]) < 2) return undefined; // the second half of a double click
    this.note(point);
    this.hover = null;
    return this.desk.changed();
  }

  move(points) {
    this.hover = this.busy ? [points.at(-1).x, points.at(-1).y] : null;
    this.desk.changed();
  }

  up() {}

  interrupt() {
    this.back();
  }

  /** Take back the last point. */
  back() {
    this.points.pop();
    this.times.pop();
    this.desk.changed();
  }

  /** @returns {boolean} whether there were enough points */
  finish() {
    if (this.points.length < 3) return false;
    const [points, times] = [this.points.map(([x, y]) => [round(x), round(y)]), this.times];
    this.cancel();
    this.desk.commit(this.stage, { kind: "polygon", points, erase: false, times }, false);
    return true;
  }

  overlay(context) {
    if (!this.busy) return;
    strand(context, this.stage, this.hover ? [...this.points, this.hover] : this.points, false);
    this.points.forEach((point, i) => dot(context, this.stage.view.toScreen(...point), i === 0 ? 6 : 3.5));
  }
}

/** A line that is seen on any image: dark under bright. */
export function strand(context, stage, points, closed) {
  context.beginPath();
  points.forEach((point) => context.lineTo(...stage.view.toScreen(...point)));
  if (closed) context.closePath();
  twice(context);
}

export function dot(context, [x, y], radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  twice(context);
}

/** Stroke the current path dark and wide, then bright and narrow. */
export function twice(context) {
  for (const [colour, width] of [["#000c", 3.5], ["#fff", 1.5]]) {
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.stroke();
  }
}
