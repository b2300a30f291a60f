/** Takes hold of finished shapes: to move them, drag their points or corners, or delete them. */

import { say } from "../dom.js";
import { dragged, handles, moved, shapeAt } from "./edit.js";
import { outline } from "./paint.js";
import { Tool, dot, strand } from "./tools.js";

const REACH = 12; // CSS pixels from which an edge or a handle is taken hold of
const STILL = 3; // CSS pixels that a click may shake
const NAMES = { stroke: "brush stroke", polygon: "polygon", box: "box" };

export class Select extends Tool {
  #selection = null;
  /** What is being dragged: the shape as it was, where it was taken, its handle or -1. */
  #grip = null;

  get busy() {
    return this.#grip !== null;
  }

  /** The shape in hand; null once it is gone, by undo or with all others. @type {object | null} */
  get selection() {
    return this.stage.shapes.includes(this.#selection) ? this.#selection : null;
  }

  down({ x, y }) {
    const reach = REACH / this.stage.view.scale;
    const corners = this.selection ? handles(this.selection) : [];
    const handle = corners.findLastIndex(([hx, hy]) => Math.hypot(hx - x, hy - y) <= reach);
    if (handle < 0) this.choose(shapeAt(this.stage.shapes, x, y, reach / 2));
    if (this.selection) this.#grip = { shape: this.selection, handle, x, y, far: false };
  }

  move(points) {
    if (!this.busy) return;
    const { shape, handle, x: fromX, y: fromY } = this.#grip;
    const { x, y } = points.at(-1);
    this.#grip.far ||= Math.hypot(x - fromX, y - fromY) * this.stage.view.scale > STILL;
    if (this.#grip.far) this.#show(handle < 0 ? moved(shape, x - fromX, y - fromY) : dragged(shape, handle, x, y));
  }

  up() {
    if (!this.busy) return;
    const { shape, far } = this.#grip;
    this.#grip = null;
    if (far) this.desk.replace(this.stage, shape, [this.selection]);
  }

  cancel() {
    if (this.busy) this.#show(this.#grip.shape);
    this.#grip = null;
  }

  choose(shape) {
    this.#selection = shape;
    this.desk.changed();
  }

  /** Take the shape after the one in hand, as they were drawn. */
  next() {
    const { shapes, view } = this.stage;
    if (!shapes.length) return say("There are no marks.");
    const at = (shapes.indexOf(this.selection) + 1) % shapes.length;
    this.choose(shapes[at]);
    const [left, top, right, bottom] = outline(shapes[at]).box;
    if (view.reveal((left + right) / 2, (top + bottom) / 2)) this.stage.changedView();
    return say(`Mark ${at + 1} of ${shapes.length}: ${shapes[at].erase ? "erased by a " : ""}${NAMES[shapes[at].kind]}`);
  }

  /** Move what is in hand by image pixels. */
  nudge(dx, dy) {
    const shape = moved(this.selection, dx, dy);
    this.desk.replace(this.stage, this.selection, [shape]);
    this.choose(shape);
  }

  remove() {
    if (!this.selection) return say("Select a mark first.");
    this.desk.replace(this.stage, this.selection, []);
    this.choose(null);
    return say("Mark deleted.");
  }

  /** In place of what is in hand, before it is let go. */
  #show(shape) {
    this.stage.setShapes(this.stage.shapes.map((other) => (other === this.selection ? shape : other)));
    this.choose(shape);
  }

  overlay(context) {
    const { selection } = this;
    if (!selection) return;
    const { kind, points } = selection;
    const corners = handles(selection);
    strand(context, this.stage, points, kind !== "stroke");
    if (corners !== points) strand(context, this.stage, corners, true);
    for (const corner of corners) dot(context, this.stage.view.toScreen(...corner), 5);
  }
}
