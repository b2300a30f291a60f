/** Pictures from the server: no wider than the screen needs, decoded before they are shown, kept for a lost network. */

import { request } from "./api.js";
import { get, keys, put, remove } from "./db.js";
import { make } from "./dom.js";

export const LADDER = [256, 512, 1024, 2048, 4096]; // widths the server makes

const SMALL = 160; // pixels of a thumbnail's side

/** The smallest width on the ladder that is enough. */
export function rung(wanted, full) {
  const width = LADDER.find((step) => step >= Math.min(wanted, full)) ?? LADDER.at(-1);
  return width;
}

/** @type {Map<string, Promise<ImageBitmap>>} address -> decoded */
const decoded = new Map();

/** @param {{id: string}} image @param {number} width @param {number[] | null} window [low, high] of the full range */
export function address(image, width, window = null) {
  const level = window ? `&low=${window[0]}&high=${window[1]}` : "";
  return `/api/image/${encodeURIComponent(image.id)}?w=${width}${level}`;
}

/** @returns {Promise<ImageBitmap>} the same one for the same address, until `keepOnly` */
export function picture(url, token) {
  let found = decoded.get(url);
  if (!found) {
    found = load(url, token);
    decoded.set(url, found);
    found.catch(() => decoded.delete(url));
  }
  return found;
}

async function load(url, token) {
  let blob = await get("blobs", url);
  if (!blob) {
    blob = await (await request(url, { token, patience: 60_000 })).blob();
    await put("blobs", blob, url);
  }
  return createImageBitmap(blob);
}

/** A small picture of an image, on a canvas; blank until it is there. @param {string} id of the image */
export function thumbnail(id, token) {
  const canvas = make("canvas", { width: SMALL, height: SMALL, "aria-hidden": "true" });
  const draw = async () => {
    const blob = await (await request(address({ id }, LADDER[0]), { token })).blob();
    const bitmap = await createImageBitmap(blob);
    const scale = SMALL / Math.max(bitmap.width, bitmap.height);
    const [across, down] = [bitmap.width * scale, bitmap.height * scale];
    canvas.getContext("2d").drawImage(bitmap, (SMALL - across) / 2, (SMALL - down) / 2, across, down);
    bitmap.close();
  };
  const watch = new IntersectionObserver(async (seen) => {
    if (!seen.some((one) => one.isIntersecting)) return;
    await draw().then(() => watch.disconnect(), () => {}); // without a network it is tried again when it comes into sight
  });
  watch.observe(canvas);
  return canvas;
}

/** Forget every picture whose address does not begin with one of these. @param {string[]} beginnings */
export async function keepOnly(beginnings) {
  const wanted = (url) => beginnings.some((beginning) => url.startsWith(beginning));
  for (const url of decoded.keys()) {
    if (!wanted(url)) {
      decoded.get(url).then((bitmap) => bitmap.close(), () => {});
      decoded.delete(url);
    }
  }
  for (const url of await keys("blobs")) if (!wanted(url)) await remove("blobs", url);
}

/**
 * Grey values of a map as colours over the image: transparent at 0, then dark red to yellow.
 * @param {ImageBitmap} map @param {boolean} full whether its values are stretched to 0 .. 1, so that a faint map can be judged */
export function heat(map, full = false) {
  const canvas = Object.assign(document.createElement("canvas"), { width: map.width, height: map.height });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(map, 0, 0);
  const pixels = context.getImageData(0, 0, map.width, map.height);
  const { data } = pixels;
  let [low, high] = full ? [255, 0] : [0, 255];
  for (let i = 0; full && i < data.length; i += 4) [low, high] = [Math.min(low, data[i]), Math.max(high, data[i])];
  if (high === low) [low, high] = [0, 255]; // no shape to stretch
  for (let i = 0; i < data.length; i += 4) {
    const value = (data[i] - low) / (high - low);
    data[i] = 255 * Math.min(1, 0.4 + 1.2 * value);
    data[i + 1] = 255 * Math.max(0, 1.6 * value - 0.6);
    data[i + 2] = 0;
    data[i + 3] = 255 * Math.min(1, 1.5 * value);
  }
  context.putImageData(pixels, 0, 0);
  return canvas;
}
