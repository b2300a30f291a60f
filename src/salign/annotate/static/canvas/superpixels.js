/**
 * Superpixels: cells of about the same size whose edges follow those of the image.
 *
 * SNIC (Achanta and Süsstrunk, "Superpixels and Polygons using Simple Non-Iterative Clustering", CVPR 2017): cells grow
 * from a grid of seeds, always by the pixel that is most like its cell; so each is connected. Unlike the authors we take
 * the next pixel from a queue of narrow buckets, in which the order is of no account, instead of from a heap, and begin
 * with the mean colour around a seed.
 */

const BUCKETS = 4096;
const FINE = 16; // buckets for a distance of 1: a step in L* of 1
const COMPACT = 15; // the paper's m: how much the way to a cell's middle counts beside colour

/**
 * @param {Uint8ClampedArray} pixels RGBA @param {number} width @param {number} height
 * @param {number} size side of a cell in pixels
 * @returns {Int32Array} the cell of each pixel: 0, 1, ...
 */
export function superpixels(pixels, width, height, size, compact = COMPACT) {
  const count = width * height;
  const colours = lab(pixels, count);
  const labels = new Int32Array(count).fill(-1);
  const across = Math.max(1, Math.round(width / size));
  const down = Math.max(1, Math.round(height / size));
  const cells = across * down;
  const way = (compact * compact * cells) / count; // what a squared pixel of way counts beside squared steps of colour
  const sums = new Float64Array(6 * cells); // of each cell: L, a, b, x, y, pixels

  // The queue: for each bucket a chain of entries, each a pixel and the cell that would take it.
  const head = new Int32Array(BUCKETS).fill(-1);
  const room = 4 * count + cells; // a pixel is put in by each of its neighbours at most
  const [pixel, cell, next] = [new Int32Array(room), new Int32Array(room), new Int32Array(room)];
  let [entries, lowest] = [0, 0];
  const put = (index, label, bucket) => {
    pixel[entries] = index;
    cell[entries] = label;
    next[entries] = head[bucket];
    head[bucket] = entries;
    entries += 1;
    if (bucket < lowest) lowest = bucket;
  };
  for (let i = 0; i < cells; i += 1) {
    const x = Math.floor(((i % across) + 0.5) * (width / across));
    const y = Math.floor((Math.floor(i / across) + 0.5) * (height / down));
    sums.set([...around(colours, width, height, x, y), x, y, 1], 6 * i); // its neighbours count, too: a seed may be a speck
    put(y * width + x, i, 0);
  }

  const offer = (index, x, y, label) => {
    if (labels[index] >= 0) return;
    const at = 6 * label;
    const n = sums[at + 5];
    const dl = colours[3 * index] - sums[at] / n;
    const da = colours[3 * index + 1] - sums[at + 1] / n;
    const db = colours[3 * index + 2] - sums[at + 2] / n;
    const dx = x - sums[at + 3] / n;
    const dy = y - sums[at + 4] / n;
    const distance = Math.sqrt(dl * dl + da * da + db * db + way * (dx * dx + dy * dy));
    put(index, label, Math.min(BUCKETS - 1, Math.floor(FINE * distance)));
  };
  while (lowest < BUCKETS) {
    const entry = head[lowest];
    if (entry < 0) {
      lowest += 1;
      continue;
    }
    head[lowest] = next[entry];
    const index = pixel[entry];
    if (labels[index] >= 0) continue;
    const label = cell[entry];
    labels[index] = label;
    const x = index % width;
    const y = (index - x) / width;
    const at = 6 * label;
    for (let channel = 0; channel < 3; channel += 1) sums[at + channel] += colours[3 * index + channel];
    sums[at + 3] += x;
    sums[at + 4] += y;
    sums[at + 5] += 1;
    if (x > 0) offer(index - 1, x - 1, y, label);
    if (x < width - 1) offer(index + 1, x + 1, y, label);
    if (y > 0) offer(index - width, x, y - 1, label);
    if (y < height - 1) offer(index + width, x, y + 1, label);
  }
  return labels;
}

/** Mean colour of a pixel and its neighbours. */
function around(colours, width, height, x, y) {
  const sum = [0, 0, 0];
  let count = 0;
  for (let row = Math.max(0, y - 1); row <= Math.min(height - 1, y + 1); row += 1) {
    for (let column = Math.max(0, x - 1); column <= Math.min(width - 1, x + 1); column += 1) {
      for (let channel = 0; channel < 3; channel += 1) sum[channel] += colours[3 * (row * width + column) + channel];
      count += 1;
    }
  }
  return sum.map((value) => value / count);
}

/** sRGB to CIELAB (D65): L*, a*, b* of each pixel. */
function lab(pixels, count) {
  const linear = Float64Array.from({ length: 256 }, (_, i) => (i <= 10 ? i / 255 / 12.92 : ((i / 255 + 0.055) / 1.055) ** 2.4));
  const f = (t) => (t > 216 / 24389 ? Math.cbrt(t) : (24389 / 27 / 116) * t + 16 / 116);
  const found = new Float32Array(3 * count);
  for (let i = 0; i < count; i += 1) {
    const r = linear[pixels[4 * i]];
    const g = linear[pixels[4 * i + 1]];
    const b = linear[pixels[4 * i + 2]];
    const fx = f((0.4124564 * r + 0.3575761 * g + 0.1804375 * b) / 0.95047);
    const fy = f(0.2126729 * r + 0.7151522 * g + 0.072175 * b);
    const fz = f((0.0193339 * r + 0.119192 * g + 0.9503041 * b) / 1.08883);
    found[3 * i] = 116 * fy - 16;
    found[3 * i + 1] = 500 * (fx - fy);
    found[3 * i + 2] = 200 * (fy - fz);
  }
  return found;
}

/** The smallest box around each cell. @returns {Int32Array} left, top, right, bottom of cell 0, then of cell 1, ... */
export function boxesOf(labels, width) {
  const count = labels.reduce((most, label) => Math.max(most, label), 0) + 1;
  const boxes = new Int32Array(4 * count).map((_, i) => (i % 4 < 2 ? width * labels.length : 0));
  for (let i = 0; i < labels.length; i += 1) {
    const at = 4 * labels[i];
    const x = i % width;
    const y = (i - x) / width;
    if (x < boxes[at]) boxes[at] = x;
    if (y < boxes[at + 1]) boxes[at + 1] = y;
    if (x >= boxes[at + 2]) boxes[at + 2] = x + 1;
    if (y >= boxes[at + 3]) boxes[at + 3] = y + 1;
  }
  return boxes;
}
