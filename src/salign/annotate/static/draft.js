/** Work in progress, per annotator and task. Each change is written by itself, at once, however long the history is. */

import { all, get, transact } from "./db.js";
import { History } from "./history.js";

export const keyOf = (who, task) => `${who}/${task}`;

const NUMBER = 1e9; // op keys sort as text: nine digits are enough
const opKey = (key, n) => `${key}/${NUMBER + n}`;
const ops = (key, from = 0) => IDBKeyRange.bound(opKey(key, from), opKey(key, NUMBER - 1));

/** @returns {Promise<{head: object, history: History} | null>} */
export async function load(key) {
  const head = await get("drafts", key);
  return head ? { head, history: new History(await all("ops", ops(key)), head.at) } : null;
}

/** Write the answers and where the history stands. */
export function saveHead(key, head, history) {
  return transact(["drafts"], "readwrite", (drafts) => drafts.put({ ...head, at: history.at }, key));
}

/** Write the newest change, in place of what it undid. */
export function saveChange(key, head, history) {
  return transact(["drafts", "ops"], "readwrite", (drafts, changes) => {
    const n = history.at - 1;
    changes.delete(ops(key, n));
    changes.put(history.changes[n], opKey(key, n));
    drafts.put({ ...head, at: history.at }, key);
  });
}

export function drop(key) {
  return transact(["drafts", "ops"], "readwrite", (drafts, changes) => {
    drafts.delete(key);
    changes.delete(ops(key));
  });
}
