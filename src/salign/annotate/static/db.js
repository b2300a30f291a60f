/**
 * IndexedDB as promises: what must outlive the tab. Each study has a database of its own.
 *
 * kv: last study and tasks; drafts and ops: work in progress; queue: saves not yet acknowledged; blobs: prefetched pictures.
 */

import { here } from "./here.js";

const STORES = { kv: {}, drafts: {}, ops: {}, queue: { keyPath: "order", autoIncrement: true }, blobs: {} };

/** @type {Promise<IDBDatabase> | null} */
let opening = null;

function open() {
  opening ??= new Promise((resolve, reject) => {
    const request = indexedDB.open(`salign-${here.study}`, 1);
    request.onupgradeneeded = () => {
      for (const [name, options] of Object.entries(STORES)) request.result.createObjectStore(name, options);
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
  return opening;
}

/**
 * Run `work` in one transaction; all of it is written, or nothing.
 * @template T
 * @param {string[]} names
 * @param {IDBTransactionMode} mode
 * @param {(...stores: IDBObjectStore[]) => IDBRequest<T> | void} work its request's result is what is resolved to
 * @returns {Promise<T>}
 */
export async function transact(names, mode, work) {
  const database = await open();
  return new Promise((resolve, reject) => {
    const durability = names.includes("queue") ? "strict" : "relaxed"; // a save outlives a power cut, too
    const transaction = database.transaction(names, mode, { durability });
    const request = work(...names.map((name) => transaction.objectStore(name)));
    if (mode === "readwrite") transaction.commit?.(); // at once: the tab may close now
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onerror = transaction.onabort = () => reject(transaction.error);
  });
}

export const get = (store, key) => transact([store], "readonly", (there) => there.get(key));
export const put = (store, value, key) => transact([store], "readwrite", (there) => there.put(value, key));
export const remove = (store, key) => transact([store], "readwrite", (there) => there.delete(key));
export const all = (store, range) => transact([store], "readonly", (there) => there.getAll(range));
export const keys = (store) => transact([store], "readonly", (there) => there.getAllKeys());

/** Take the saves that a page of before studies had names could not send, and that bear this token. */
export async function adopt(token) {
  const old = await new Promise((resolve) => {
    const request = indexedDB.open("salign");
    request.onupgradeneeded = () => request.transaction.abort(); // there is none
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => resolve(null);
  });
  if (!old) return;
  const read = (mode, work) => new Promise((resolve, reject) => {
    const transaction = old.transaction("queue", mode);
    const request = work(transaction.objectStore("queue"));
    transaction.oncomplete = () => resolve(request?.result);
    transaction.onerror = () => reject(transaction.error);
  });
  const mine = (await read("readonly", (queue) => queue.getAll())).filter((entry) => entry.token === token);
  if (mine.length) {
    await transact(["queue"], "readwrite", (queue) => { for (const { order, ...entry } of mine) queue.put(entry); });
    await read("readwrite", (queue) => { for (const { order } of mine) queue.delete(order); });
  }
  old.close();
}
