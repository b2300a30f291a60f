/** Where the image lies on its stage: zoom and pan. Screen is CSS pixels of the stage, image is original pixels. */

const MARGIN = 8; // CSS pixels around an image that fits
const CLOSEST = 40; // CSS pixels per image pixel
const LEAST = 0.5; // of the fitting scale

export class View {
  /** @param {number} width @param {number} height of the image */
  constructor(width, height) {
    Object.assign(this, { width, height, scale: 1, x: 0, y: 0, across: 1, down: 1, fitted: true });
  }

  get fitting() {
    const room = (side) => Math.max(1, side - 2 * MARGIN);
    return Math.min(room(this.across) / this.width, room(this.down) / this.height);
  }

  /** The stage has another size: stay fitted, or keep its middle. */
  resize(across, down) {
    const [x, y] = this.toImage(this.across / 2, this.down / 2);
    Object.assign(this, { across, down });
    if (this.fitted) this.fit();
    else this.centre(x, y);
  }

  fit() {
    this.scale = this.fitting;
    this.x = (this.across - this.width * this.scale) / 2;
    this.y = (this.down - this.height * this.scale) / 2;
    this.fitted = true;
  }

  centre(x, y) {
    this.x = this.across / 2 - x * this.scale;
    this.y = this.down / 2 - y * this.scale;
    this.#clamp();
  }

  /** Zoom about a point of the screen. */
  zoom(factor, sx = this.across / 2, sy = this.down / 2) {
    const [x, y] = this.toImage(sx, sy);
    this.scale = Math.min(Math.max(this.scale * factor, this.fitting * LEAST), Math.max(CLOSEST, this.fitting));
    this.x = sx - x * this.scale;
    this.y = sy - y * this.scale;
    this.fitted = false;
    this.#clamp();
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.fitted = false;
    this.#clamp();
  }

  /** Pan just enough that a point of the image is on the stage. */
  reveal(x, y, margin = 24) {
    const [sx, sy] = this.toScreen(x, y);
    const into = (at, side) => Math.min(Math.max(at, margin), Math.max(margin, side - margin)) - at;
    const [dx, dy] = [into(sx, this.across), into(sy, this.down)];
    if (dx || dy) this.pan(dx, dy);
    return Boolean(dx || dy);
  }

  toImage(sx, sy) {
    return [(sx - this.x) / this.scale, (sy - this.y) / this.scale];
  }

  toScreen(x, y) {
    return [x * this.scale + this.x, y * this.scale + this.y];
  }

  /** The part of the image on the stage, in its pixels; null where none is. */
  visible() {
    const [left, top] = this.toImage(0, 0);
    const [right, bottom] = this.toImage(this.across, this.down);
    const part = [Math.max(0, left), Math.max(0, top), Math.min(this.width, right), Math.min(this.height, bottom)];
    return part[0] < part[2] && part[1] < part[3] ? part : null;
  }

  /** Some of the image is always within reach. */
  #clamp() {
    const hold = (at, size, side) => {
      const rim = Math.min(48, size / 2, side / 2);
      return Math.min(Math.max(at, rim - size), side - rim);
    };
    this.x = hold(this.x, this.width * this.scale, this.across);
    this.y = hold(this.y, this.height * this.scale, this.down);
  }
}
