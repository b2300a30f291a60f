/**
 * Saves wait here until the server has acknowledged them.
 *
 * Each has a key made once, so that sending it again after a lost reply stores nothing twice. They are sent in the order
 * made; a second save of a task is based on the revision that the first one got, also where it was opened before.
 */

import { ApiError, Offline, call } from "./api.js";
import { all, put, remove, transact } from "./db.js";

const PAUSES = [500, 1000, 2000, 5000, 10_000, 30_000]; // ms between attempts
const HOPELESS = [400, 403, 404, 413]; // sending the same again cannot help

/** @typedef {{order?: number | null, key: string, who: number, token: string, body: object, refused?: string}} Entry */

/**
 * Events: `change` (counts), `saved` (detail: entry, reply), `conflict`, `refused`, `locked` (detail: entry, error),
 * `unkept` (this browser keeps nothing).
 */
export class Queue extends EventTarget {
  /** @type {Entry[]} */
  entries = [];
  /** The revision that this page's last save of a task got. @type {Map<string, number>} */
  #revisions = new Map();
  #timer = 0;
  #failures = 0;
  #running = false;

  /** Read what an earlier page left, and begin to send. */
  async start() {
    this.entries = await all("queue");
    addEventListener("online", () => this.flush());
    addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.flush());
    this.#changed();
    this.flush();
  }

  get waiting() {
    return this.entries.filter((entry) => !entry.refused).length;
  }

  get refused() {
    return this.entries.filter((entry) => entry.refused);
  }

  /** The newest unsent save of a task, if any. */
  latest(who, task) {
    return this.entries.findLast((entry) => entry.who === who && entry.body.task === task);
  }

  /**
   * Once this is resolved, the save outlives the tab, unless this browser keeps nothing: then it is sent all the same.
   * @param {Entry} entry
   */
  async add(entry) {
    entry.body.base = Math.max(entry.body.base, this.#revisions.get(place(entry)) ?? 0);
    this.entries.push(entry);
    this.#changed();
    try {
      entry.order = await put("queue", { ...entry });
    } catch {
      entry.order = null;
      this.#tell("unkept", { entry });
    }
    this.flush();
  }

  /** Send now what was refused, too. */
  retry() {
    for (const entry of this.entries) delete entry.refused;
    this.flush();
  }

  /** Send what waits, one after the other; one tab at a time where the browser can tell. */
  async flush() {
    if (this.#running) return;
    this.#running = true;
    clearTimeout(this.#timer);
    const locks = navigator.locks ?? { request: (_, work) => work() };
    try {
      await locks.request("salign-queue", () => this.#send());
    } finally {
      this.#running = false;
    }
  }

  async #send() {
    const stored = new Set((await all("queue")).map((entry) => entry.order)); // another tab may have sent some
    this.entries = this.entries.filter((entry) => entry.order == null || stored.has(entry.order));
    for (let entry; (entry = this.entries.find((one) => !one.refused))?.order !== undefined; ) {
      try {
        const reply = await call(`/api/annotations/${entry.key}`, { method: "PUT", body: entry.body, token: entry.token });
        this.#failures = 0;
        await this.#acknowledged(entry, reply.revision);
        this.#tell("saved", { entry, reply });
      } catch (error) {
        if (!(await this.#failed(entry, error))) return;
      }
    }
    this.#changed();
  }

  /** @returns whether to go on with the next one */
  async #failed(entry, error) {
    if (error instanceof ApiError && error.status === 409) {
      await this.#acknowledged(entry, error.body.revision); // the server keeps both
      this.#tell("conflict", { entry, error });
      return true;
    }
    if (error instanceof ApiError && HOPELESS.includes(error.status)) {
      entry.refused = error.message;
      if (entry.order !== null) await put("queue", entry);
      this.#tell("refused", { entry, error });
      return true;
    }
    if (error instanceof ApiError && error.status === 401) this.#tell("locked", { entry, error });
    else if (!(error instanceof Offline) && !(error instanceof ApiError)) throw error;
    const pause = Math.max((error.retryAfter ?? 0) * 1000, PAUSES[Math.min(this.#failures++, PAUSES.length - 1)]);
    this.#timer = setTimeout(() => this.flush(), pause);
    this.#changed();
    return false;
  }

  async #acknowledged(entry, revision) {
    this.#revisions.set(place(entry), revision);
    this.entries = this.entries.filter((other) => other !== entry);
    const later = this.entries.filter((other) => place(other) === place(entry));
    for (const other of later) other.body = { ...other.body, base: revision };
    this.#changed();
    await transact(["queue"], "readwrite", (queue) => {
      for (const other of later) if (other.order != null) queue.put(other);
      if (entry.order !== null) queue.delete(entry.order);
    });
  }

  /** Forget a refused save: the annotator has downloaded it, or given it up. */
  async discard(entry) {
    this.entries = this.entries.filter((other) => other !== entry);
    if (entry.order !== null) await remove("queue", entry.order);
    this.#changed();
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }

  #tell(kind, detail) {
    this.dispatchEvent(new CustomEvent(kind, { detail }));
    this.#changed();
  }
}

/** Whose save of what. @param {Entry} entry */
const place = ({ who, body }) => `${who}/${body.task}`;
