/** One image, large: the marks of all annotators side by side, their earlier versions, comments, and sending back. */

import { $, make, say } from "../dom.js";
import { ask, picturePath, showPicture, tell } from "./ask.js";
import { answerText, seconds, when } from "./format.js";

const WIDTH = 1024; // pixels of a picture

let rows = []; // those of the gallery
let index = 0;
let after = () => {};

/**
 * @param {(row: object) => void} changed is told of an answer that was commented on
 * @param {(index: number) => void} closed is told which row was looked at last
 */
export function startAnswer(changed, closed) {
  after = changed;
  $("answer").onclose = () => closed(index);
  $("answer-before").onclick = () => go(index - 1);
  $("answer-after").onclick = () => go(index + 1);
  $("answer-marks").onchange = () => repaint();
  for (const button of $("answer").querySelectorAll("[data-closes]")) button.onclick = () => $("answer").close();
}

export async function openAnswer(all, at) {
  rows = all;
  await go(at);
}

async function go(at) {
  tellInside("");
  try {
    const { unit, answers } = await ask(`answers/${rows[at].task}`);
    index = at;
    $("answer-before").disabled = at === 0;
    $("answer-after").disabled = at === rows.length - 1;
    show(unit, answers);
    if (!$("answer").open) $("answer").showModal();
    $("answer-title").focus();
  } catch (error) {
    if ($("answer").open) tellInside(error.message);
    else say(error.message, "assertive");
  }
}

function show(unit, answers) {
  const first = (row) => row.task === rows[index].task;
  const labels = [...new Set(answers.map((row) => row.label).filter(Boolean))];
  $("answer-title").textContent = unit;
  $("answer-known").textContent = labels.length ? `Known: ${labels.join(", ")}.` : "No label is known.";
  $("answer-people").replaceChildren(...[...answers].sort((a, b) => first(b) - first(a)).map(person));
}

function person(row) {
  const pictures = row.images.map((name) => make("img", { alt: `What ${row.name} marked on ${name}` }));
  const figure = make("figure", {}, make("span", { className: "pictures" }, ...pictures));
  figure.repaint = () => pictures.forEach((image, k) => showPicture(image, picturePath(row, Number(version.value), k, WIDTH, $("answer-marks").checked)));
  const version = make("select", { onchange: () => figure.repaint() }, ...row.versions.map((one) => make("option", { value: one.revision, textContent: versionText(one, row) })).reverse());
  version.value = row.revision;
  const text = make("textarea", { rows: 2, maxLength: 2000 });
  const send = (back) => remark(row, text, back);
  const acts = make("div", { className: "row" }, make("button", { type: "button", textContent: "Save note", onclick: () => send(false) }), make("button", { type: "button", textContent: "Send back", onclick: () => send(true) }));
  const said = row.comments.map((one) => make("li", {}, `${one.text} `, make("span", { className: "faint", textContent: `${when(one.created)}${one.back ? ", sent back" : ""}` })));
  figure.append(make("figcaption", {}, make("h3", { textContent: `${row.name}: ${answerText(row)}` }), make("p", { className: "faint", textContent: [seconds(row.seconds), row.confidence ? `sure ${row.confidence} of 5` : "", row.blank ? "nothing to mark" : "", row.returned ? "sent back, not done yet" : ""].filter(Boolean).join(" · ") }), make("label", {}, "Version ", version), make("ul", {}, ...said), make("label", {}, `About the answer of ${row.name}`, text), acts));
  queueMicrotask(figure.repaint);
  return figure;
}

function versionText(one, row) {
  const state = one.revision === row.revision ? ", counts" : one.side ? ", kept aside" : "";
  return `${one.revision}: ${one.skipped === null ? (one.answer ?? "marks only") : "skipped"}, ${when(one.saved)}${state}`;
}

async function remark(row, text, back) {
  if (!text.value.trim()) {
    tellInside(back ? "Write what is to be done again." : "Write the note first.");
    text.focus();
    return;
  }
  try {
    const { unit, answers } = await tell(`answers/${row.task}/comments`, { revision: row.revision, text: text.value, back });
    show(unit, answers);
    for (const answer of answers) after(answer);
    tellInside(back ? `Sent back to ${row.name}, who finds it among the next images.` : "The note is stored.");
    $("answer-title").focus();
  } catch (error) {
    tellInside(error.message);
  }
}

/** What is said elsewhere on the page lies below a dialog. */
function tellInside(text) {
  $("answer-said").textContent = text;
}

function repaint() {
  for (const figure of $("answer-people").children) figure.repaint();
}
