/** How the images are looked at: zoom, pan, and what is hidden for a while. */

import { say } from "./dom.js";

export class Looking {
  /** Space is held: a drag moves the image. */
  panning = false;

  /** @param {import("./work.js").Work} work */
  constructor(work) {
    this.work = work;
  }

  zoom(factor) {
    const { stage } = this.work;
    stage.view.zoom(factor);
    stage.changedView();
  }

  pan(dx, dy) {
    const { stage } = this.work;
    stage.view.pan(dx, dy);
    stage.changedView();
  }

  /** Show whole images. */
  fit() {
    for (const stage of this.work.stages) {
      stage.view.fit();
      stage.changedView();
    }
  }

  holdSpace(on) {
    this.panning = on;
    for (const stage of this.work.stages) stage.element.classList.toggle("pannable", on);
  }

  /** Hide the marks or the map, or show them again. @param {"hideMarks" | "hideMap"} what */
  hide(what) {
    const { panel } = this.work;
    panel[what] = !panel[what];
    this.dress();
    say(`${what === "hideMarks" ? "Marks" : "Map"} ${panel[what] ? "hidden" : "shown"}.`);
  }

  /** Nothing over the image while a key or button is held. */
  peek(on) {
    this.work.panel.peeking = on;
    this.dress();
  }

  /** Put the looks that are set on every stage. */
  dress() {
    for (const stage of this.work.stages) this.work.panel.dress(stage);
  }
}
