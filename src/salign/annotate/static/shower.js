/** Brings pictures to the stages: sharp enough for the zoom, with the grey levels asked for, the next one ahead of time. */

import { $, say } from "./dom.js";
import { LADDER, address, heat, keepOnly, picture, rung } from "./pictures.js";

const SETTLE = 150; // ms after a zoom or a slider

export class Shower {
  /** @param {import("./work.js").Work} work @param {string} token */
  constructor(work, token) {
    Object.assign(this, { work, token, heats: new Map() });
  }

  /** Width that fills the stage with an image; before there is a stage, about as much. */
  #width(image, count, scale) {
    const room = $("stages");
    const across = (room.clientWidth || innerWidth) / (count > 1 && room.clientWidth >= 600 ? 2 : 1);
    const fitting = Math.min(across / image.width, (room.clientHeight || innerHeight) / image.height);
    return rung(image.width * (scale ?? fitting) * Math.min(2, devicePixelRatio || 1), image.width);
  }

  #levels(image) {
    return this.work.panel.window ?? image.window ?? null;
  }

  /** Begin to fetch and decode everything a task shows. */
  bitmaps(task) {
    this.map(task.drafts[0]);
    return task.images.map((image) => picture(address(image, this.#width(image, task.images.length), this.#levels(image)), this.token));
  }

  /** @param {Promise<ImageBitmap>[]} bitmaps */
  async show(task, bitmaps) {
    const { stages } = this.work;
    const current = () => this.work.task === task;
    let failed = false;
    await Promise.all(
      bitmaps.map(async (pending, i) => {
        stages[i].element.setAttribute("aria-busy", "true");
        const image = task.images[i];
        let bitmap = null;
        try {
          bitmap = await pending;
        } catch (error) {
          failed = error;
        }
        if (!current()) return;
        stages[i].open(image.width, image.height, bitmap);
        stages[i].setShapes(stages[i].shapes);
        stages[i].element.removeAttribute("aria-busy");
      }),
    );
    if (!current()) return;
    if (failed?.status === 410) return this.work.after.broken(task);
    if (failed) {
      say(`The image could not be loaded: ${failed.message}. It is tried again.`, "assertive");
      setTimeout(() => current() && this.show(task, this.bitmaps(task)), 3000);
      return;
    }
    this.overlay(this.overlaid);
    stages[0].onDrawn = () => {
      stages[0].onDrawn = () => {};
      if (!current()) return;
      if (!$("feedback").open) this.work.clock.go(); // reading feedback is no time on this image
      stages[0].element.dataset.painted = task.id;
      performance.mark(`painted ${task.id}`);
      setTimeout(() => this.work.after.prefetch());
    };
    stages[0].invalidate("picture");
  }

  /** Show somebody's map over the image; null for none. */
  async overlay(draft) {
    this.overlaid = draft;
    const [stage] = this.work.stages;
    if (!stage) return;
    const map = draft?.map ? await this.map(draft).catch(() => null) : null;
    if (this.overlaid === draft) stage.setHeat(map, draft && !draft.map ? draft.shapes : []);
  }

  /** The map of a draft in colours, made once. */
  map(draft) {
    if (!draft?.map) return null;
    const url = `${draft.map}?w=${LADDER[2]}`;
    if (!this.heats.has(url)) {
      const made = picture(url, this.token).then((map) => heat(map, this.work.study.mode === "review"));
      made.catch(() => this.heats.delete(url));
      this.heats.set(url, made);
    }
    return this.heats.get(url);
  }

  /** The view of a stage has changed: say so, and fetch more detail once it rests. */
  viewed(stage) {
    if (stage !== this.work.stage) return;
    this.measure(stage);
    clearTimeout(stage.sharpening);
    stage.sharpening = setTimeout(() => this.#sharpen(stage), SETTLE);
  }

  /** Say how near the view is, and how wide the brush. */
  measure({ view }) {
    $("zoom-text").textContent = `${Math.round(100 * view.scale)} %`;
    $("size-text").textContent = `${2 * this.work.panel.radius(view.width, view.height)} px`;
  }

  /** The grey levels have changed. */
  relevel() {
    clearTimeout(this.relevelling);
    this.relevelling = setTimeout(() => this.work.stages.forEach((stage) => this.#sharpen(stage, true)), SETTLE);
  }

  async #sharpen(stage, levels = false) {
    const { task, stages } = this.work;
    const image = task?.images[stages.indexOf(stage)];
    if (!image || !stage.bitmap) return;
    const width = this.#width(image, task.images.length, stage.view.scale);
    if (!levels && Math.min(width, image.width) <= stage.bitmap.width) return;
    try {
      const bitmap = await picture(address(image, width, this.#levels(image)), this.token);
      if (this.work.task !== task) return;
      if (levels) stage.grid = null; // its regions are others now
      stage.setBitmap(bitmap);
    } catch {
      say("More detail comes when the network is back.");
    }
  }

  /** Forget the pictures of all but these tasks. @param {import("./tasks.js").Task[]} tasks */
  keep(tasks) {
    const images = tasks.flatMap((task) => task.images.map((image) => address(image, "")));
    const maps = tasks.flatMap((task) => task.drafts.map((draft) => draft.map).filter(Boolean));
    for (const url of this.heats.keys()) if (!maps.some((map) => url.startsWith(map))) this.heats.delete(url);
    return keepOnly([...images, ...maps.map((map) => `${map}?`)]);
  }
}
