/** Shapes on a canvas, in image coordinates: a preview for the eye. What counts is the list of shapes. */

/** @type {WeakMap<object, {path: Path2D, box: number[]}>} */
const made = new WeakMap();
const TURN = 2 * Math.PI;
const [DARK, LINE] = [2.5, 1.25]; // CSS pixels from what is painted to the end of its dark and of its bright edge

/** Left, top, right, bottom of points with a margin. */
export function boxOf(points, margin = 0) {
  const box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const [x, y] of points) {
    box[0] = Math.min(box[0], x - margin);
    box[1] = Math.min(box[1], y - margin);
    box[2] = Math.max(box[2], x + margin);
    box[3] = Math.max(box[3], y + margin);
  }
  return box;
}

/** Discs and what lies between them, each turning the same way: filled by the non-zero rule they are a union. */
export function trail(points, radii, from = 0) {
  const path = new Path2D();
  for (let i = from; i < points.length; i += 1) {
    const [x, y] = points[i];
    path.moveTo(x + radii[i], y);
    path.arc(x, y, radii[i], 0, TURN);
    if (i > 0) bridge(path, points[i - 1], radii[i - 1], points[i], radii[i]);
  }
  return path;
}

/** The area between the outer tangents of two discs; none where one holds the other. */
function bridge(path, [x0, y0], r0, [x1, y1], r1) {
  const [dx, dy] = [x1 - x0, y1 - y0];
  const length = Math.hypot(dx, dy);
  if (length <= Math.abs(r0 - r1)) return;
  const cos = (r0 - r1) / length;
  const sin = Math.sqrt(1 - cos * cos);
  const [ux, uy] = [dx / length, dy / length];
  const [ax, ay] = [ux * cos + uy * sin, uy * cos - ux * sin];
  const [bx, by] = [ux * cos - uy * sin, uy * cos + ux * sin];
  path.moveTo(x0 + ax * r0, y0 + ay * r0);
  path.lineTo(x1 + ax * r1, y1 + ay * r1);
  path.lineTo(x1 + bx * r1, y1 + by * r1);
  path.lineTo(x0 + bx * r0, y0 + by * r0);
  path.closePath();
}

function make({ kind, points, radii }) {
  if (kind === "stroke") return { path: trail(points, radii), box: boxOf(points, Math.max(...radii)) };
  const box = boxOf(points);
  const path = new Path2D();
  if (kind === "box") path.rect(box[0], box[1], box[2] - box[0], box[3] - box[1]);
  else {
    points.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
    path.closePath();
  }
  return { path, box };
}

/** Outline and bounding box of a shape, made once. */
export function outline(shape) {
  let found = made.get(shape);
  if (!found) made.set(shape, (found = make(shape)));
  return found;
}

/** Which rule says what is inside of a shape's outline. */
export const ruleOf = (shape) => (shape.kind === "polygon" ? "evenodd" : "nonzero");

/** Fill a path, or take it away. The context is in image coordinates. */
export function fill(context, path, erase, rule = "nonzero") {
  context.globalCompositeOperation = erase ? "destination-out" : "source-over";
  context.fill(path, rule);
}

/** Paint the shapes in order, leaving out what is not on the stage. @param {number[] | null} visible */
export function paint(context, shapes, visible) {
  if (!visible) return;
  for (const shape of shapes) {
    const { path, box } = outline(shape);
    const off = box[0] > visible[2] || box[1] > visible[3] || box[2] < visible[0] || box[3] < visible[1];
    if (!off) fill(context, path, shape.erase, ruleOf(shape));
  }
}

/**
 * Draw lines around what is painted on a canvas, in its colour and a dark one: they are seen on any image.
 * @param {CanvasRenderingContext2D} context of another canvas, as large @param {HTMLCanvasElement} marks
 * @param {number} unit pixels of the canvas for one of CSS @param {number[] | null} part the box to draw again; all if null
 */
export function edge(context, marks, unit, part) {
  const { width, height } = marks;
  const rim = 2 * DARK * unit;
  const [left, top, right, bottom] = part
    ? [Math.floor(part[0] - rim), Math.floor(part[1] - rim), Math.ceil(part[2] + rim), Math.ceil(part[3] + rim)] // no half pixels
    : [0, 0, width, height];
  const ring = (reach) => {
    for (const [dx, dy] of [[reach, 0], [-reach, 0], [0, reach], [0, -reach]]) context.drawImage(marks, dx, dy);
  };
  context.save();
  context.beginPath();
  context.rect(left, top, right - left, bottom - top);
  context.clip();
  context.clearRect(0, 0, width, height);
  ring(DARK * unit);
  context.globalCompositeOperation = "source-in";
  context.fillStyle = "#000c";
  context.fillRect(0, 0, width, height);
  context.globalCompositeOperation = "source-over";
  ring(LINE * unit);
  context.globalCompositeOperation = "destination-out";
  context.drawImage(marks, 0, 0);
  context.restore();
}
