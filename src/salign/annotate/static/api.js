/** Calls to the server. The token travels in a header, never in an address; pictures are fetched the same way. */

import { here } from "./here.js";

const PATIENCE = 20_000; // ms until a silent server counts as a lost network

export class ApiError extends Error {
  /** @param {number} status @param {{error?: string, revision?: number}} body @param {number} retryAfter seconds */
  constructor(status, body, retryAfter = 0) {
    super(body.error ?? `the server answered ${status}`);
    Object.assign(this, { status, body, retryAfter });
  }
}

/** The server was not reached: nothing is known of what became of the call. */
export class Offline extends Error {}

/** Another study is at this address: what belongs to this one waits, as without a network, until it is back. */
export class Elsewhere extends Offline {}

/**
 * @param {string} path
 * @param {{method?: string, body?: unknown, token?: string | null, patience?: number}} options
 * @returns {Promise<Response>} of a status below 400
 */
export async function request(path, { method = "GET", body, token = null, patience = PATIENCE } = {}) {
  const headers = { "X-Salign": "1" };
  if (here.study) headers["X-Salign-Study"] = here.study;
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let reply;
  try {
    const signal = AbortSignal.timeout(patience);
    reply = await fetch(path, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new Offline("the server cannot be reached");
  }
  if (reply.ok) return reply;
  const told = await reply.json().catch(() => ({}));
  if (reply.status === 421) {
    dispatchEvent(new Event("elsewhere"));
    throw new Elsewhere(told.error);
  }
  throw new ApiError(reply.status, told, Number(reply.headers.get("Retry-After")) || 0);
}

/** Whether trying again later may help: no network, or a server in trouble. */
export const passing = (error) => error instanceof Offline || (error instanceof ApiError && (error.status >= 500 || error.status === 429));

/** As `request`, but gives the JSON of the reply. */
export async function call(path, options) {
  const reply = await request(path, options);
  try {
    return await reply.json();
  } catch {
    throw new Offline("the reply broke off");
  }
}

/** A random UUID; crypto.randomUUID exists on https and localhost only. */
export function uuid() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
