/** The keys, as the help dialog shows them: those that a study has. */

import { $, make } from "./dom.js";
import { keepsAll } from "./modes.js";

const draws = (study) => !keepsAll(study);
const inMode = (mode) => (study) => study.mode === mode;

/** title and rows: how the keys are written, what they do, and in which studies */
const KEYS = [
  ["Answering", [
    ["C, then Space", "look closely at the cross (or click)", keepsAll],
    ["1 – 9", "choose an answer", (study) => study.mode !== "pair"],
    ["1 · 2", "choose image A · image B", inMode("pair")],
    ["A · E · R", "accept · edit · reject the map", inMode("review")],
    ["Shift + 1 – 5", "how sure you are", (study) => study.confidence],
    ["N", "nothing to mark", draws],
    ["Enter", "save and go on (Ctrl + Enter also while drawing)"],
    ["S", "skip, with a reason"],
    ["G", "go back to the one before"],
  ]],
  ["Marking", [
    ["B · X · P · D · O", "brush · eraser · polygon · box · ellipse"],
    ["U", "regions: a click adds one or takes it away, a drag paints with them; Alt takes away"],
    ["L", "wand: what has the colour clicked on; Alt takes away"],
    ["T", "select a mark: drag it or its points; arrow keys move it, Delete removes it"],
    ["J", "select the next mark"],
    ["[ · ]", "smaller or larger: brush, regions, tolerance of the wand"],
    ["Ctrl + Z · Ctrl + Shift + Z", "undo · redo"],
    ["F", "finish the polygon (or double-click, or click its first point)"],
    ["Backspace", "take back the polygon's last point"],
    ["Esc", "give up what is begun; leave cursor mode"],
  ].map(([keys, what]) => [keys, what, draws])],
  ["Looking", [
    ["H", "held: hide marks and map"],
    ["M · V", "show or hide the marks · the map"],
    ["wheel, + · −", "zoom (on touch: two fingers)"],
    ["0", "whole image"],
    ["arrow keys", "move the image (or drag with Space or the middle button)"],
    ["W", "go to the other image", inMode("pair")],
  ]],
  ["Without a mouse: cursor mode", [
    ["C", "turn it on: a cross appears on the image; C or Esc leaves"],
    ["arrow keys", "move the cross; with Shift by one pixel, with Alt in large steps"],
    ["Space or Enter", "look closely at the cross", keepsAll],
    ["Space or Enter", "brush and eraser: begin and end a stroke · polygon: place a point · region and wand: click · box and ellipse: one corner, then the other · select: take and let go", draws],
    ["F", "finish the polygon", draws],
  ]],
];

const SWITCH = "salign.keys";

/** Whether single keys without Ctrl act: speech users may want them off. */
export const singleKeys = () => localStorage.getItem(SWITCH) !== "off";

/** Fill the dialog with the keys of a study. @param {{mode: string, confidence: boolean}} study */
export function showKeys(study) {
  const parts = KEYS.map(([title, rows]) => [title, rows.filter(([, , among]) => !among || among(study))]);
  const table = (rows) => make("table", {}, ...rows.map(([keys, what]) => make("tr", {}, make("th", { textContent: keys, scope: "row" }), make("td", { textContent: what }))));
  $("help-keys").replaceChildren(...parts.filter(([, rows]) => rows.length).flatMap(([title, rows]) => [make("h3", { textContent: title }), table(rows)]));
}

export function startHelp() {
  showKeys({ mode: "single", confidence: true });
  const box = $("single-keys");
  box.checked = singleKeys();
  box.onchange = () => localStorage.setItem(SWITCH, box.checked ? "on" : "off");
  for (const button of document.querySelectorAll("[data-opens]")) button.onclick = () => $(button.dataset.opens).showModal();
  for (const button of document.querySelectorAll("dialog [data-closes]")) button.onclick = () => button.closest("dialog").close();
}
