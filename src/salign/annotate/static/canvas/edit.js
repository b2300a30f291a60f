/** Finished shapes under a hand: which one is at a point, and what it becomes when it or a handle is dragged. */

import { round } from "../simplify.js";
import { outline, ruleOf } from "./paint.js";

const FEW = 24; // a polygon of up to so many points is changed point by point; anything else is stretched by its corners
const THINNEST = 0.02; // share of its side to which a shape may be pressed together

const probe = document.createElement("canvas").getContext("2d");

/** The shape painted last of those at a point, else of those whose edge is within `slack` image pixels; null for none. */
export function shapeAt(shapes, x, y, slack) {
  probe.lineWidth = 2 * slack;
  const inside = (shape) => probe.isPointInPath(outline(shape).path, x, y, ruleOf(shape));
  const near = (shape) => probe.isPointInStroke(outline(shape).path, x, y);
  return shapes.findLast(inside) ?? shapes.findLast(near) ?? null;
}

const byPoints = ({ kind, points }) => kind === "polygon" && points.length <= FEW;

/** Where a shape can be taken hold of: its points, or the corners of its bounding box in turn. @returns {number[][]} */
export function handles(shape) {
  if (byPoints(shape)) return shape.points;
  const [left, top, right, bottom] = outline(shape).box;
  return [[left, top], [right, top], [right, bottom], [left, bottom]];
}

/** The same shape elsewhere. */
export function moved(shape, dx, dy) {
  return { ...shape, points: shape.points.map(([x, y]) => [round(x + dx), round(y + dy)]) };
}

/** The shape with the handle of this number at another point: one point of it moves, or all from the opposite corner. */
export function dragged(shape, number, x, y) {
  if (byPoints(shape)) return { ...shape, points: shape.points.with(number, [round(x), round(y)]) };
  const corners = handles(shape);
  const [[hx, hy], [ox, oy]] = [corners[number], corners[(number + 2) % 4]];
  const factor = (to, from, fixed) => (from === fixed ? 1 : Math.max(THINNEST, (to - fixed) / (from - fixed)));
  const [across, down] = [factor(x, hx, ox), factor(y, hy, oy)];
  const points = shape.points.map(([px, py]) => [round(ox + (px - ox) * across), round(oy + (py - oy) * down)]);
  return shape.radii ? { ...shape, points, radii: shape.radii.map((radius) => round(radius * Math.sqrt(across * down))) } : { ...shape, points };
}
