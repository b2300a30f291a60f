/** All annotations as small pictures with their marks: filtered and sorted by the server, some at a time. */

import { $, make, say } from "../dom.js";
import { openAnswer, startAnswer } from "./answer.js";
import { ask, picturePath, showPicture } from "./ask.js";
import { answerText, percent, seconds } from "./format.js";

const COUNT = 24;
const FIELDS = ["annotator", "show", "answer", "image", "order"];
const TYPING = 250; // ms
const WIDTH = 256; // pixels of a picture

let rows = [];
let asked = 0; // the newest question: replies to older ones are too late

export function startGallery() {
  startAnswer(changed, (index) => $("cards").children[index]?.querySelector("button").focus());
  $("look").onsubmit = (event) => event.preventDefault();
  $("look").onchange = () => load();
  let timer = 0;
  $("look-image").oninput = () => {
    clearTimeout(timer);
    timer = setTimeout(load, TYPING);
  };
  $("cards-more").onclick = () => load(rows.length);
}

/** @param {object} summary says which annotators there are */
export function openGallery(summary) {
  options("look-annotator", "everybody", summary.annotators.map((row) => [String(row.id), row.shown]));
  $("look-answer").parentElement.hidden = summary.mode === "pair";
  load();
}

function options(id, any, pairs) {
  const before = $(id).value;
  $(id).replaceChildren(make("option", { value: "", textContent: any }), ...pairs.map(([value, textContent]) => make("option", { value, textContent })));
  $(id).value = pairs.some(([value]) => value === before) ? before : "";
}

async function load(start = 0) {
  const look = new URLSearchParams({ start, count: COUNT });
  for (const name of FIELDS) if ($(`look-${name}`).value) look.set(name, $(`look-${name}`).value);
  const turn = (asked += 1);
  try {
    const { answers, total, values } = await ask(`answers?${look}`);
    if (turn !== asked) return;
    options("look-answer", "any", values.map((value) => [value, value]));
    rows = start ? [...rows, ...answers] : answers;
    const cards = answers.map((row, i) => card(row, start + i));
    if (start) $("cards").append(...cards);
    else $("cards").replaceChildren(...cards);
    $("cards-more").hidden = rows.length >= total;
    $("look-text").textContent = total ? `${rows.length} of ${total} annotations.` : "No annotation is like that.";
    if (start) cards[0]?.querySelector("button").focus();
  } catch (error) {
    say(error.message, "assertive");
  }
}

function card(row, index) {
  const pictures = row.images.map((_, k) => {
    const image = make("img", { alt: "", width: WIDTH, height: WIDTH });
    showPicture(image, picturePath(row, row.revision, k, WIDTH));
    return image;
  });
  const face = make("button", { type: "button", className: "card", onclick: () => openAnswer(rows, index) }, make("span", { className: "pictures" }, ...pictures), make("strong", { textContent: row.unit }), make("span", { textContent: `${row.name}: ${answerText(row)}` }), make("span", { className: "faint", textContent: facts(row) }));
  return make("li", {}, face);
}

function facts({ seconds: time, blank, differ, apart, comments, returned, confidence }) {
  return [
    seconds(time),
    confidence && `sure ${confidence} of 5`,
    blank && "nothing to mark",
    differ ? `${percent(differ)} of pairs differ` : "",
    apart === null ? "" : `maps ${percent(Math.min(1, apart))} apart`,
    returned ? "sent back" : comments.length ? "has a note" : "",
  ].filter(Boolean).join(" · ");
}

/** The owner has commented on something: show it as it is now, without losing the way. */
function changed(row) {
  const index = rows.findIndex((other) => other.task === row.task);
  if (index < 0) return;
  rows[index] = { ...rows[index], ...row, differ: rows[index].differ, apart: rows[index].apart };
  $("cards").children[index].replaceWith(card(rows[index], index));
}
