/** Fewer points for the same stroke: nothing moves by as much as a quarter of a pixel. */

export const TOLERANCE = 0.2; // pixels of the original image; rounding adds at most 0.01

/** To hundredths of a pixel, as shapes are kept. */
export const round = (value) => Math.round(value * 100) / 100;

/**
 * Ramer-Douglas-Peucker on centre and radius together.
 * @param {number[][]} points [x, y] @param {number[]} radii @param {number[]} times ms
 * @returns {{points: number[][], radii: number[], times: number[]}}
 */
export function simplify(points, radii, times, tolerance = TOLERANCE) {
  const keep = new Uint8Array(points.length);
  keep[0] = keep[points.length - 1] = 1;
  const spans = [[0, points.length - 1]];
  while (spans.length) {
    const [from, to] = spans.pop();
    let worst = tolerance;
    let at = -1;
    for (let i = from + 1; i < to; i += 1) {
      const off = deviation(points, radii, from, to, i);
      if (off > worst) [worst, at] = [off, i];
    }
    if (at < 0) continue;
    keep[at] = 1;
    spans.push([from, at], [at, to]);
  }
  const kept = (values, as) => values.filter((_, i) => keep[i]).map(as);
  return {
    points: kept(points, ([x, y]) => [round(x), round(y)]),
    radii: kept(radii, (radius) => Math.max(0.05, round(radius))),
    times: kept(times, Math.round),
  };
}

/** How far the disc at `i` is from the nearest of those between `from` and `to`: centres plus radii. */
function deviation(points, radii, from, to, i) {
  const [ax, ay] = points[from];
  const [dx, dy] = [points[to][0] - ax, points[to][1] - ay];
  const [px, py] = [points[i][0] - ax, points[i][1] - ay];
  const length = dx * dx + dy * dy;
  const along = length ? Math.min(1, Math.max(0, (px * dx + py * dy) / length)) : 0;
  const radius = radii[from] + along * (radii[to] - radii[from]);
  return Math.hypot(px - along * dx, py - along * dy) + Math.abs(radii[i] - radius);
}
