/** What the annotator has done, newest first, with small pictures: one of them can be opened again. */

import { call } from "./api.js";
import { $, make, say } from "./dom.js";
import { said } from "./modes.js";
import { thumbnail } from "./pictures.js";

/**
 * @param {object} study which may hide its images @param {{who: number, token: string}} session @param {import("./tasks.js").Tasks} tasks
 * @param {import("./queue.js").Queue} queue @param {(place: number) => void} goTo a place in the trail
 */
export async function listEarlier(study, session, tasks, queue, goTo) {
  const rows = new Map([...tasks.seen.values()].map(({ id, images }) => [id, { images: images.map((image) => image.id) }]));
  try {
    const { tasks: stored } = await call("/api/tasks", { token: session.token });
    for (const task of stored) rows.set(task.id, task);
  } catch {
    say("Without a network only the latest can be opened.");
  }
  for (const { who, body: { task, answer, side, review, skipped } } of queue.entries) {
    if (who === session.who) rows.set(task, { ...rows.get(task), answer, side, review, skipped });
  }
  const items = tasks.trail.map((id, place) => {
    const { skipped, images = [], ...saved } = rows.get(id) ?? {};
    const text = `${place + 1}: ${skipped ? `skipped, ${skipped}` : (said(study, saved) ?? saved.answer ?? "answered")}`;
    const onclick = () => ($("earlier").close(), goTo(place));
    const shown = study.reveal ? [] : images;
    const pictures = make("span", { className: "pictures" }, ...shown.map((image) => thumbnail(image, session.token)));
    return make("li", {}, make("button", { type: "button", onclick }, pictures, make("span", { textContent: text })));
  });
  $("earlier-list").replaceChildren(...items.reverse());
  $("earlier-none").hidden = items.length > 0;
  $("earlier").showModal();
}
