/** Tools that follow the image: cells to click together, and a wand that takes what has the same colour. */

import { say } from "../dom.js";
import { Grid } from "./grid.js";
import { outline } from "./paint.js";
import { Tool, strand } from "./tools.js";

/** Which cells a region was put together from, by its points: so it can grow and shrink. */
const CELLS = new WeakMap();

/** The grid of the image on a stage, made once. */
function gridOf(stage) {
  const { width, height } = stage.view;
  if (stage.bitmap) stage.grid ??= new Grid(stage.bitmap, width, height);
  return stage.grid;
}

/** An outline as a mark of one moment. */
function area(points, erase, at) {
  return { kind: "polygon", points, erase, times: points.map(() => Math.round(at)) };
}

/** Superpixels: a click adds one or takes it away, a drag paints with them. */
export class Region extends Tool {
  clicks = true;
  /** @type {import("./grid.js").Cells | null} */
  cells = null;
  /** The cell under the pointer; -1 for none. */
  pointed = -1;
  /** The cells that are being painted. @type {Set<number>} */
  sweep = new Set();

  get busy() {
    return this.sweep.size > 0;
  }

  /** Have the cells of the image at hand. */
  async prepare() {
    const grid = gridOf(this.stage);
    const share = this.desk.panel().side;
    if (!grid || (this.requested === grid && this.share === share)) return;
    Object.assign(this, { cells: null, pointed: -1, requested: grid, share });
    this.cancel();
    try {
      const cells = await grid.cells(share);
      if (this.requested === grid && this.share === share) this.cells = cells;
    } catch {
      this.requested = null;
      say("This browser cannot find regions; use another tool.", "assertive");
    }
  }

  down(point) {
    this.prepare();
    const cell = this.cells?.at(point) ?? -1;
    if (cell < 0) return this.cells || say("Regions are being found. A moment …");
    this.erase = point.alt || this.cells.isPainted(cell, this.stage.shapes);
    this.last = point;
    this.leave();
    return this.#add(cell);
  }

  move(points) {
    this.prepare();
    if (!this.cells) return undefined;
    if (this.busy) return points.forEach((point) => this.#paint(point));
    const cell = this.cells.at(points.at(-1));
    if (cell === this.pointed) return undefined;
    this.pointed = cell;
    return this.desk.changed();
  }

  /** The pointer is gone, is a finger, or paints. */
  leave() {
    if (this.pointed >= 0) this.desk.changed();
    this.pointed = -1;
  }

  /** Take every cell on the way to a point. */
  #paint(point) {
    const { x, y } = this.last;
    const { across, down } = this.cells.grid;
    const steps = Math.ceil(Math.hypot(point.x - x, point.y - y) / Math.min(across, down)) || 1;
    for (let i = 1; i <= steps; i += 1) {
      const cell = this.cells.at({ x: x + ((point.x - x) * i) / steps, y: y + ((point.y - y) * i) / steps });
      if (cell >= 0 && !this.sweep.has(cell)) this.#add(cell);
    }
    this.last = point;
  }

  #add(cell) {
    this.sweep.add(cell);
    this.stage.add(outline(this.cells.shapeOf(cell)), this.erase);
  }

  /** Add the cells to the mark made last if it is of such cells, or take them out of it; else make a mark of them. */
  up({ at }) {
    if (!this.busy) return;
    const { sweep, erase, stage, desk } = this;
    this.sweep = new Set();
    this.message = erase ? "Region taken away" : "Region added";
    const latest = stage.shapes.at(-1);
    const before = latest && CELLS.get(latest.points);
    const joins = before?.of === this.cells && (!erase || [...sweep].every((cell) => before.cells.has(cell)));
    const cells = new Set(joins ? before.cells : []);
    for (const cell of sweep) (joins && erase ? cells.delete(cell) : cells.add(cell));
    const shape = cells.size ? area(this.cells.outline(cells), erase && !joins, at) : null;
    if (shape && !shape.erase) CELLS.set(shape.points, { of: this.cells, cells });
    if (joins) desk.replace(stage, latest, shape ? [shape] : []);
    else desk.commit(stage, shape, false);
  }

  cancel() {
    this.sweep = new Set();
    this.stage.invalidate("marks", "overlay");
  }

  overlay(context) {
    if (this.cells && this.pointed >= 0) strand(context, this.stage, this.cells.shapeOf(this.pointed).points, true);
  }
}

/** Takes what is connected with the point and of about its colour. */
export class Wand extends Tool {
  clicks = true;

  down(point) {
    this.cancel();
    this.note(point);
    this.erase = point.alt || this.desk.panel().removing;
  }

  move() {}

  up({ at }) {
    if (!this.busy) return;
    const [[x, y]] = this.points;
    this.cancel();
    const grid = gridOf(this.stage);
    const corner = grid?.at({ x, y });
    const points = corner ? grid.alike(corner, 2.55 * this.desk.panel().look.tolerance) : [];
    this.message = points.length ? (this.erase ? "Area taken away" : "Area added") : "Nothing here";
    if (points.length) this.desk.commit(this.stage, area(points, this.erase, at), false);
  }

  overlay() {}
}
