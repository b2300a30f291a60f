/** The keys, in one table: the help dialog shows it and the keyboard obeys it. */

import { $, make } from "./dom.js";

/** name -> keys as in `keyboard.js`, how they are written, what they do */
export const KEYS = [
  ["Answering", [
    ["C, then Space", "where the image is blurred: look closely at the cross (or click)"],
    ["1 – 9", "choose an answer (in a pair: 1 is image A, 2 is image B)"],
    ["Shift + 1 – 5", "how sure you are"],
    ["N", "nothing to mark"],
    ["Enter", "save and go on (Ctrl + Enter also while drawing)"],
    ["S", "skip, with a reason"],
    ["G", "go back to the one before"],
    ["A · E · R", "in a review: accept, edit, reject the map"],
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
    ["H", "held: hide marks and map"],
    ["M · V", "show or hide the marks · the map"],
  ]],
  ["Looking", [
    ["wheel, + · −", "zoom (on touch: two fingers)"],
    ["0", "whole image"],
    ["arrow keys", "move the image (or drag with Space or the middle button)"],
    ["W", "in a pair: go to the other image"],
  ]],
  ["Drawing without a mouse: cursor mode", [
    ["C", "turn it on: a cross appears on the image; C or Esc leaves"],
    ["arrow keys", "move the cross; with Shift by one pixel, with Alt in large steps"],
    ["Space or Enter", "brush and eraser: begin and end a stroke · polygon: place a point · region and wand: click · box and ellipse: one corner, then the other · select: take and let go"],
    ["F", "finish the polygon"],
  ]],
];

const SWITCH = "salign.keys";

/** Whether single keys without Ctrl act: speech users may want them off. */
export const singleKeys = () => localStorage.getItem(SWITCH) !== "off";

export function startHelp() {
  const dialog = $("help");
  for (const [title, rows] of KEYS) {
    const table = make("table", {}, ...rows.map(([keys, what]) => make("tr", {}, make("th", { textContent: keys, scope: "row" }), make("td", { textContent: what }))));
    $("help-keys").append(make("h3", { textContent: title }), table);
  }
  const box = $("single-keys");
  box.checked = singleKeys();
  box.onchange = () => localStorage.setItem(SWITCH, box.checked ? "on" : "off");
  for (const button of document.querySelectorAll("[data-opens]")) button.onclick = () => $(button.dataset.opens).showModal();
  for (const button of document.querySelectorAll("dialog [data-closes]")) button.onclick = () => button.closest("dialog").close();
  return dialog;
}
