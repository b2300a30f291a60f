/** Says what is saved and what waits; lets the annotator keep what the server refuses. */

import { $, make, say } from "./dom.js";

/** @param {import("./queue.js").Queue} queue */
export function startOutbox(queue) {
  const show = () => {
    const { waiting, refused } = queue;
    const button = $("status");
    button.textContent = refused.length ? `${refused.length} not sent` : waiting ? `${waiting} waiting` : "Saved";
    button.dataset.state = refused.length ? "refused" : waiting ? "waiting" : "saved";
    list(queue);
  };
  queue.addEventListener("change", show);
  queue.addEventListener("refused", ({ detail }) => say(`A save was refused: ${detail.error.message}`, "assertive"));
  $("status").onclick = () => $("outbox").showModal();
  $("outbox-retry").onclick = () => queue.retry();
  show();
}

function list(queue) {
  const { waiting, refused } = queue;
  $("outbox-text").textContent = waiting
    ? `${waiting} of your answers wait in this browser. ${queue.trouble || "They are sent by themselves when the network is back."}`
    : refused.length ? "" : "Everything is stored on the server.";
  $("outbox-retry").hidden = !queue.entries.length;
  $("outbox-list").replaceChildren(
    ...refused.map((entry) => {
      const keep = make("button", { type: "button", textContent: "Download", onclick: () => download(entry) });
      const drop = make("button", { type: "button", textContent: "Give up", onclick: () => queue.discard(entry) });
      return make("li", {}, entry.refused ? `Refused: ${entry.refused} ` : `Waits: ${entry.locked} `, keep, " ", drop);
    }),
  );
}

function download(entry) {
  const url = URL.createObjectURL(new Blob([JSON.stringify(entry.body)], { type: "application/json" }));
  make("a", { href: url, download: `salign-${entry.key}.json` }).click();
  URL.revokeObjectURL(url);
}
