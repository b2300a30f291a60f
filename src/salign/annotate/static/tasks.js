/** Which task comes next, which came before; kept in the browser, so that the next one is there without a network. */

import { Offline, call, passing } from "./api.js";
import { get, put } from "./db.js";

/** @typedef {{id: string, images: object[], drafts: object[], arm: string | null, decision: string | null, saved: object | null, revision: number, comment: string | null}} Task */

export class Tasks {
  /** @type {Task[]} handed out to this annotator and not yet answered; the first is the current one */
  held = [];
  /** Ids of what is answered, oldest first. @type {string[]} */
  trail = [];
  /** What this page has answered, as it was handed out. @type {Map<string, Task>} */
  seen = new Map();
  progress = { done: 0, total: 0 };
  finished = false;
  /** Nothing can be had just now: no network, or a server in trouble. */
  offline = false;

  /** @param {number} who @param {string} token @param {import("./queue.js").Queue} queue */
  constructor(who, token, queue) {
    Object.assign(this, { who, token, queue });
  }

  get #place() {
    return `tasks/${this.who}`;
  }

  /** What is at hand, from the server or, without a network, from the last visit. */
  async start() {
    const kept = await get("kv", this.#place);
    if (kept) {
      Object.assign(this, { held: kept.held, trail: kept.trail, progress: kept.progress });
      this.seen = new Map(kept.seen.map((task) => [task.id, task]));
    }
    this.held = this.held.filter((task) => !this.#pending.has(task.id));
    try {
      const { tasks } = await call("/api/tasks", { token: this.token });
      const stored = tasks.map((task) => task.id);
      this.trail = [...stored, ...[...this.#pending].filter((id) => !stored.includes(id))];
      this.held = this.held.filter((task) => !stored.includes(task.id));
    } catch (error) {
      if (!passing(error)) throw error;
    }
    const some = this.held.length > 0;
    if (some) this.refill().catch(() => {});
    else await this.refill();
  }

  get current() {
    return this.held[0];
  }

  get next() {
    return this.held[1];
  }

  get #pending() {
    return new Set(this.queue.entries.filter((entry) => entry.who === this.who).map((entry) => entry.body.task));
  }

  /** Ask for more, until two are at hand. */
  async refill() {
    try {
      const have = [...new Set([...this.held.map((task) => task.id), ...this.#pending])];
      const { tasks, progress, finished } = await call("/api/next", { method: "POST", body: { have }, token: this.token });
      const back = new Set(tasks.filter((task) => task.comment).map((task) => task.id)); // done before, and sent back
      this.trail = this.trail.filter((id) => !back.has(id));
      const known = new Set([...this.trail, ...this.held.map((task) => task.id), ...this.#pending]);
      const fresh = tasks.filter((task) => !known.has(task.id));
      this.held.splice(1, 0, ...fresh.filter((task) => task.comment)); // after the one at hand
      this.held.push(...fresh.filter((task) => !task.comment));
      // a save may have been on its way while the server counted: what this page knows of is done
      this.progress = { done: Math.max(progress.done, this.trail.length), total: progress.total };
      Object.assign(this, { finished, offline: false });
      await this.keep();
    } catch (error) {
      if (!passing(error)) throw error;
      this.offline = true;
    }
  }

  /** The task is answered, or skipped. @param {Task} task */
  answered(task) {
    const first = !this.trail.includes(task.id);
    this.held = this.held.filter((other) => other.id !== task.id);
    if (first) {
      this.trail.push(task.id);
      this.progress = { ...this.progress, done: this.progress.done + 1 };
    }
    this.seen.set(task.id, task);
    for (const id of [...this.seen.keys()].slice(0, -5)) this.seen.delete(id);
    this.keep().catch(() => {});
  }

  /** It cannot be shown, and is handed out no more. @param {Task} task */
  drop(task) {
    this.held = this.held.filter((other) => other.id !== task.id);
    return this.keep().catch(() => {});
  }

  /** An earlier task, with what was last saved of it, sent or not. @returns {Promise<Task>} */
  async earlier(id) {
    const before = this.queue.latest(this.who, id);
    let task;
    try {
      task = await call(`/api/task/${encodeURIComponent(id)}`, { token: this.token });
    } catch (error) {
      if (!(error instanceof Offline) || !this.seen.has(id)) throw error;
      task = this.seen.get(id);
    }
    const waiting = this.queue.latest(this.who, id);
    if (before && !waiting) return this.earlier(id); // it was sent meanwhile: what came may be older
    return waiting ? { ...task, saved: waiting.body } : task;
  }

  keep() {
    const { held, trail, progress } = this;
    return put("kv", { held, trail, progress, seen: [...this.seen.values()] }, this.#place);
  }
}
