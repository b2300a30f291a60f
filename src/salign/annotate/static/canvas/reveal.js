/**
 * Mode reveal: the image is blurred, and each click opens a round window in it until the next one. A window is kept as a
 * stroke of one point with the time of its click, so that it is drawn, exported and reviewed like any mark.
 */

import { round } from "../simplify.js";
import { Tool } from "./tools.js";

export class Reveal extends Tool {
  clicks = true;
  message = "Window opened";

  down(point) {
    const { width, height } = this.stage.view;
    this.cancel();
    if (point.x >= 0 && point.y >= 0 && point.x < width && point.y < height) this.note(point);
  }

  move() {}

  up() {
    if (!this.busy) return;
    const { times } = this;
    const points = this.points.map(([x, y]) => [round(x), round(y)]);
    this.cancel();
    this.desk.commit(this.stage, { kind: "stroke", points, radii: [round(this.desk.radius(this.stage))], erase: false, times }, false);
  }

  overlay() {}
}

const SIDE = 256; // pixels of the longer side of a blurred image: what is finer is gone

/** An image blurred by a Gaussian. @param {ImageBitmap} bitmap @param {number} share of its longer side @returns {HTMLCanvasElement} */
export function blurred(bitmap, share) {
  const scale = SIDE / Math.max(bitmap.width, bitmap.height);
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.round(side * scale)));
  const canvas = Object.assign(document.createElement("canvas"), { width, height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  const pixels = context.getImageData(0, 0, width, height);
  pixels.data.set(gaussian(pixels.data, width, height, share * SIDE));
  context.putImageData(pixels, 0, 0);
  return canvas;
}

/** RGBA pixels blurred by a Gaussian of a standard deviation in pixels, cut off at three; the rim goes on outside. */
export function gaussian(pixels, width, height, sigma) {
  const reach = Math.round(3 * sigma);
  const weights = Float64Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-0.5 * ((i - reach) / sigma) ** 2));
  const whole = weights.reduce((sum, weight) => sum + weight, 0);
  const along = (values, count, lines, step, next) => {
    const sums = new Float64Array(values.length);
    for (let line = 0; line < lines; line += 1) {
      for (let i = 0; i < count; i += 1) {
        const at = line * next + i * step;
        for (let k = -reach; k <= reach; k += 1) {
          const from = line * next + Math.min(count - 1, Math.max(0, i + k)) * step;
          for (let channel = 0; channel < 4; channel += 1) sums[at + channel] += (weights[k + reach] / whole) * values[from + channel];
        }
      }
    }
    return sums;
  };
  return along(along(pixels, width, height, 4, 4 * width), height, width, 4 * width, 4).map(Math.round);
}
