/** Areas of a grid of pixels as outlines: from pixels to the points of a polygon, and the flood that a wand pours. */

import { round, simplify } from "../simplify.js";

/**
 * Loops along the edges of the pixels that are in, around areas clockwise and around holes the other way.
 * @param {Uint8Array} inside 1 or 0 of each pixel, row by row @param {number} width @param {number} height
 * @returns {number[][][]} corners [x, y] of each loop
 */
export function trace(inside, width, height) {
  const across = width + 1;
  const steps = [1, across, -1, -across]; // right, down, left, up: from one corner of the grid to the next
  const ways = new Uint8Array(across * (height + 1)); // at each corner one bit for each edge that begins there
  for (let y = 0, i = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1, i += 1) {
      if (!inside[i]) continue;
      const corner = y * across + x; // top left; what is in lies on the right of every edge
      if (y === 0 || !inside[i - width]) ways[corner] |= 1;
      if (x === width - 1 || !inside[i + 1]) ways[corner + 1] |= 2;
      if (y === height - 1 || !inside[i + width]) ways[corner + across + 1] |= 4;
      if (x === 0 || !inside[i - 1]) ways[corner + across] |= 8;
    }
  }
  const loops = [];
  for (let start = 0; start < ways.length; start += 1) {
    if (!ways[start]) continue; // else one edge is left here: every other loop through this corner began further up
    const loop = [];
    let [at, way, last] = [start, Math.log2(ways[start]), -1];
    do {
      if (way !== last) loop.push([at % across, Math.floor(at / across)]);
      ways[at] &= ~(1 << way);
      at += steps[way];
      last = way;
      const there = ways[at] | (ways[at] << 4); // once more, so that the four turns need no wrapping
      // where two pixels touch at a corner only, a turn to the right keeps them apart
      for (const turn of [1, 0, 3]) {
        if (there & (1 << (last + turn))) {
          way = (last + turn) % 4;
          break;
        }
      }
    } while (at !== start);
    loops.push(loop);
  }
  return loops;
}

/** Twice the area inside of a loop, below zero for a hole. */
const doubled = (loop) => loop.reduce((sum, [x, y], i) => sum + x * loop[(i + 1) % loop.length][1] - y * loop[(i + 1) % loop.length][0], 0);

/**
 * One outline for an area with holes and in parts, to be filled by the even-odd rule: loops are joined by lines that are
 * gone to and fro, and so hold nothing.
 * @param {number[][][]} loops as `trace` gives them @param {(corner: number[]) => number[]} place of a corner in the image
 * @param {number} tolerance pixels of the image by which the outline may be off @param {number} smallest area of a loop
 * @returns {number[][]} none where nothing is left
 */
export function joined(loops, place, tolerance, smallest = 0) {
  const kept = loops.filter((loop) => Math.abs(doubled(loop)) >= 2 * smallest);
  const [first, ...others] = kept.map((loop) => {
    const points = [...loop, loop[0]].map(place);
    const none = points.map(() => 0);
    const fewer = simplify(points, none, none, tolerance).points;
    return fewer.length > 3 ? fewer : points.map(([x, y]) => [round(x), round(y)]);
  });
  if (!first) return [];
  return others.length ? [...first, ...others.flatMap((loop) => [...loop, first[0]])] : first.slice(0, -1);
}

/**
 * The pixels that are connected with one and of about its colour.
 * @param {Uint8ClampedArray} pixels RGBA @param {number} x @param {number} y where it begins
 * @param {number} tolerance largest difference in red, green and blue, of 255
 * @returns {Uint8Array} 1 for each pixel that is in
 */
export function flood(pixels, width, height, x, y, tolerance) {
  const inside = new Uint8Array(width * height);
  const start = y * width + x;
  const like = (i) => {
    for (let channel = 0; channel < 3; channel += 1) {
      if (Math.abs(pixels[4 * i + channel] - pixels[4 * start + channel]) > tolerance) return false;
    }
    return true;
  };
  const open = [start];
  inside[start] = 1;
  const visit = (i) => {
    if (inside[i] || !like(i)) return;
    inside[i] = 1;
    open.push(i);
  };
  while (open.length) {
    const i = open.pop();
    const column = i % width;
    if (column > 0) visit(i - 1);
    if (column < width - 1) visit(i + 1);
    if (i >= width) visit(i - width);
    if (i < width * (height - 1)) visit(i + width);
  }
  return inside;
}
