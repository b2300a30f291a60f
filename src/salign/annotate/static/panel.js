/** Sliders, tool buttons and view buttons; how things look is remembered in this browser. */

import { TOOLS } from "./canvas/toolbox.js";
import { $, choices, choose, say } from "./dom.js";
import { recall, remember } from "./here.js";

const LOOK = "look";
const PLAIN = { opacity: 50, heat: 55, brightness: 100, contrast: 100 };
const SMALLEST = 0.001; // brush radius as a share of the image's longer side
const LARGEST = 0.25;
const SIDES = [0.015, 0.02, 0.03, 0.045, 0.07, 0.1]; // of superpixels, as shares of the image's longer side

export class Panel {
  /** @param {object} study @param {object} act `tool`, `size`, `cells`, `look`, `fit`, `window`: what the controls do */
  constructor(study, act) {
    this.study = study;
    this.act = act;
    this.look = { ...PLAIN, size: 0.02, cells: 3, tolerance: 12, ...JSON.parse(recall(LOOK) ?? "{}") };
    /** The wand takes away. */
    this.removing = false;
    /** Grey levels of deep images, [low, high] in [0, 1]; null is as the image comes. @type {number[] | null} */
    this.window = null;
    this.tools = study.tools.filter((name) => name in TOOLS);
    const buttons = this.tools.map((name) => ({ value: name, text: TOOLS[name].text, key: TOOLS[name].key, icon: name, hint: TOOLS[name].hint }));
    choices($("tool-buttons"), "tool", buttons, act.tool);
    for (const name of Object.keys(PLAIN)) $(name).oninput = () => this.set(name, Number($(name).value));
    $("size").oninput = () => this.setSize(SMALLEST * (LARGEST / SMALLEST) ** (Number($("size").value) / 100));
    for (const name of ["cells", "tolerance"]) $(name).oninput = () => this.set(name, Number($(name).value));
    $("removing").onclick = () => {
      this.removing = !this.removing;
      $("removing").setAttribute("aria-pressed", String(this.removing));
    };
    $("low").oninput = $("high").oninput = (event) => this.#level(event.target.id);
    $("plain").onclick = () => this.reset();
    $("window").hidden = !study.window_level;
    $("opacity").parentElement.hidden = Boolean(study.reveal);
    this.show();
  }

  chosen(tool) {
    choose($("tool-buttons"), tool);
    for (const part of $("slot").children) part.hidden = !part.dataset.for.split(" ").includes(tool);
  }

  set(name, value) {
    this.look[name] = value;
    this.#changed();
    if (name === "cells") this.act.cells();
  }

  /** Side of superpixels, as a share of the image's longer side. */
  get side() {
    return SIDES[this.look.cells];
  }

  /** Move the slider of the tool in hand, if it has one, by some of its length. @param {1 | -1} way */
  turn(way) {
    const slider = $("slot").querySelector("label:not([hidden]) input");
    if (!slider) return;
    slider.value = String(Number(slider.value) + way * Math.max(1, (slider.max - slider.min) / 30));
    slider.oninput();
    say(slider.parentElement.textContent.trim());
  }

  /** @param {number} share of the image's longer side */
  setSize(share) {
    this.look.size = Math.min(LARGEST, Math.max(SMALLEST, share));
    this.#changed();
    this.act.size();
  }

  reset() {
    Object.assign(this.look, PLAIN);
    this.setWindow(null);
    this.#changed();
    this.act.fit();
  }

  /** Brush radius in pixels of an image, to half a pixel. */
  radius(width, height) {
    return Math.max(0.5, Math.round(2 * this.look.size * Math.max(width, height)) / 2);
  }

  setWindow(levels) {
    this.window = levels;
    [$("low").value, $("high").value] = levels ? levels.map((level) => Math.round(1000 * level)) : [0, 1000];
    this.act.window();
    this.show();
  }

  #level(moved) {
    let [low, high] = [Number($("low").value), Number($("high").value)];
    if (high - low < 5) [low, high] = moved === "low" ? [Math.min(low, 995), Math.min(low, 995) + 5] : [Math.max(high, 5) - 5, Math.max(high, 5)];
    this.setWindow([low / 1000, high / 1000]);
  }

  #changed() {
    remember(LOOK, JSON.stringify(this.look));
    this.show();
    this.act.look();
  }

  show() {
    for (const name of Object.keys(PLAIN)) {
      $(name).value = String(this.look[name]);
      $(`${name}-text`).textContent = `${this.look[name]} %`;
    }
    $("cells").value = String(this.look.cells);
    $("cells-text").textContent = `${(100 * this.side).toFixed(1)} %`;
    $("tolerance").value = String(this.look.tolerance);
    $("tolerance-text").textContent = `${this.look.tolerance} %`;
    $("size").value = String(Math.round((100 * Math.log(this.look.size / SMALLEST)) / Math.log(LARGEST / SMALLEST)));
    for (const name of ["low", "high"]) $(`${name}-text`).textContent = `${Number($(name).value) / 10} %`;
  }

  /** Put the looks on a stage's layers. @param {import("./canvas/stage.js").Stage} stage */
  dress(stage) {
    const { opacity, heat, brightness, contrast } = this.look;
    const { picture, marks, edges, heat: map } = stage.layers;
    const bare = this.peeking;
    picture.canvas.style.filter = brightness === 100 && contrast === 100 ? "" : `brightness(${brightness}%) contrast(${contrast}%)`;
    marks.canvas.style.opacity = String(bare || this.hideMarks || this.study.reveal ? 0 : opacity / 100); // windows are seen through
    edges.canvas.style.opacity = String(bare || this.hideMarks ? 0 : 1);
    map.canvas.style.opacity = String(bare || this.hideMap ? 0 : heat / 100);
  }
}
