/**
 * Saves wait here until the server has acknowledged them.
 *
 * Each has a key made once, so that sending it again after a lost reply stores nothing twice. They are sent in the order
 * made; a second save of a task is based on the revision that the first one got, also where it was opened before. Saves
 * of somebody else at this browser go with the token they were made with; if that is not valid any more they wait, and
 * hold up nobody else's.
 */

import { ApiError, Offline, call } from "./api.js";
import { all, put, remove, transact } from "./db.js";
import { here } from "./here.js";

const PAUSES = [500, 1000, 2000, 5000, 10_000, 30_000]; // ms between attempts
const HOPELESS = [400, 403, 404, 413]; // sending the same again cannot help

/** @typedef {{order?: number | null, key: string, who: number, token: string, body: object, refused?: string, locked?: string}} Entry */

/**
 * Events: `change` (counts), `saved` (detail: entry, reply), `conflict`, `refused`, `locked`, `trouble` (detail: entry,
 * error), `unkept` (this browser keeps nothing).
 */
export class Queue extends EventTarget {
  /** @type {Entry[]} */
  entries = [];
  /** The revision that this page's last save of a task got. @type {Map<string, number>} */
  #revisions = new Map();
  #timer = 0;
  #failures = 0;
  #running = false;
  /** Who is at work here now: saves of that annotator go with the token valid now. @type {{who: number, token: string} | null} */
  session = null;
  /** What the server says while it cannot store anything. */
  trouble = "";

  /** Read what an earlier page left, and begin to send. */
  async start() {
    this.entries = await all("queue");
    addEventListener("online", () => this.flush());
    addEventListener("visibilitychange", () => document.visibilityState === "visible" && this.flush());
    this.#changed();
    this.flush();
  }

  get waiting() {
    return this.entries.filter((entry) => !entry.refused && !entry.locked).length;
  }

  /** What does not go without the annotator: refused by the server, or made with a link that is not valid any more. */
  get refused() {
    return this.entries.filter((entry) => entry.refused || entry.locked);
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
    for (const entry of this.entries) {
      delete entry.refused;
      delete entry.locked;
    }
    this.flush();
  }

  /** Send what waits, one after the other; one tab at a time where the browser can tell. */
  async flush() {
    if (this.#running) return;
    this.#running = true;
    clearTimeout(this.#timer);
    const locks = navigator.locks ?? { request: (_, work) => work() };
    try {
      await locks.request(`salign-queue-${here.study}`, () => this.#send());
    } finally {
      this.#running = false;
    }
  }

  async #send() {
    const stored = new Set((await all("queue")).map((entry) => entry.order)); // another tab may have sent some
    this.entries = this.entries.filter((entry) => entry.order == null || stored.has(entry.order));
    const locked = new Set(); // tokens that are not valid any more
    const sendable = (one) => !one.refused && !locked.has(this.#token(one));
    for (let entry; (entry = this.entries.find(sendable))?.order !== undefined; ) {
      const token = this.#token(entry);
      try {
        const reply = await call(`/api/annotations/${entry.key}`, { method: "PUT", body: entry.body, token });
        this.#failures = 0;
        this.trouble = "";
        await this.#acknowledged(entry, reply.revision);
        this.#tell("saved", { entry, reply });
      } catch (error) {
        if (error instanceof ApiError && error.status === 401) {
          locked.add(token);
          for (const one of this.entries) if (this.#token(one) === token) one.locked = error.message;
          this.#tell("locked", { entry, error });
        } else if (!(await this.#failed(entry, error))) return;
      }
    }
    if (locked.size) this.#later(PAUSES.at(-1));
    this.#changed();
  }

  #token(entry) {
    return this.session?.who === entry.who ? this.session.token : entry.token;
  }

  #later(pause) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), pause);
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
    if (!(error instanceof Offline) && !(error instanceof ApiError)) throw error;
    const said = error instanceof ApiError && error.status >= 500 ? error.message : "";
    if (said && said !== this.trouble) this.#tell("trouble", { entry, error });
    this.trouble = said;
    this.#later(Math.max((error.retryAfter ?? 0) * 1000, PAUSES[Math.min(this.#failures++, PAUSES.length - 1)]));
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
