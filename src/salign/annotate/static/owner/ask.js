/** Calls as the owner: the token, and pictures that wait where the server asks for patience. */

import { ApiError, call, request } from "../api.js";
import { recall, remember, settle } from "../here.js";

const TOKEN = "owner";
const AT_ONCE = 4; // pictures, so that a gallery leaves the server time for annotators

let key = null;
let loading = 0;
const queue = [];

/** Which study this is, and the owner's token for it: that of the link, which then leaves the address bar. */
export async function settleOwner() {
  settle((await call("/api/session")).study);
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given) {
    remember(TOKEN, given);
    history.replaceState(null, "", location.pathname);
  }
  key = recall(TOKEN);
}

export const ask = (path, options = {}) => call(`/api/owner/${path}`, { token: key, patience: 60_000, ...options });
export const tell = (path, body) => ask(path, { method: "POST", body });
export const fetchAll = (path, options) => request(`/api/owner/${path}`, { token: key, ...options });

/** Where the picture of one save of an answer is. */
export const picturePath = (row, revision, index, width, marks = true) => `answers/${row.task}/${revision}/${index}?w=${width}${marks ? "" : "&marks=0"}`;

/** Show a picture of the server in an element, when its turn comes. @param {HTMLImageElement} image @param {string} path */
export function showPicture(image, path) {
  image.dataset.path = path;
  queue.push([image, path]);
  setTimeout(work); // by then it is in the page
}

async function work() {
  if (loading >= AT_ONCE || !queue.length) return;
  const [image, path] = queue.shift();
  loading += 1;
  try {
    if (image.isConnected && image.dataset.path === path) await load(image, path);
  } catch (error) {
    image.alt = error.message;
  } finally {
    loading -= 1;
    work();
  }
}

async function load(image, path) {
  try {
    const url = URL.createObjectURL(await (await fetchAll(path)).blob());
    image.onload = image.onerror = () => URL.revokeObjectURL(url);
    if (image.dataset.path === path) image.src = url;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 429) throw error;
    await new Promise((later) => setTimeout(later, 1000 * Math.max(1, error.retryAfter)));
    await load(image, path);
  }
}
