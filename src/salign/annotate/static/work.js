/** The desk: one task on one or two stages, its answers, its marks and their history, until it is saved or skipped. */

import { uuid } from "./api.js";
import { listen } from "./canvas/pointer.js";
import { Stage } from "./canvas/stage.js";
import { TOOLS } from "./canvas/toolbox.js";
import { Clock } from "./clock.js";
import { $, hold, isSheetOpen, isUnfolded, say, unfold } from "./dom.js";
import * as drafts from "./draft.js";
import { History } from "./history.js";
import { Cursor, listenToKeys } from "./keyboard.js";
import { Looking } from "./looking.js";
import { LETTERS, answers, body, build, head, keepsAll, missing, overlaid, show, toRead } from "./modes.js";
import { Panel } from "./panel.js";
import { Shower } from "./shower.js";
import { askReason } from "./skip.js";

export class Work {
  active = false;
  /** @type {Stage[]} */
  stages = [];
  task = null;
  tool = null;
  toolName = "";
  hovering = null;

  /**
   * @param {object} study @param {{who: number, token: string}} session
   * @param {import("./queue.js").Queue} queue
   * @param {{done: (task) => void, back: () => void, prefetch: () => void}} after
   */
  constructor(study, session, queue, after) {
    Object.assign(this, { study, session, queue, after });
    this.shower = new Shower(this, session.token);
    this.panel = new Panel(study, {
      tool: (name) => this.use(name),
      size: () => this.stage && this.#resized(),
      cells: () => this.tool?.prepare?.(),
      look: () => this.looking.dress(),
      fit: () => this.looking.fit(),
      window: () => this.shower.relevel(),
    });
    build(study, {
      answer: (value) => (study.mode === "pair" ? this.put({ side: Number(value) }) : this.put({ answer: value })),
      sure: (value) => this.sure(Number(value)),
      verdict: (value) => this.verdict(value),
      draft: (index) => this.put({ draft: index, review: null }),
    });
    this.cursor = new Cursor(this);
    this.looking = new Looking(this);
    listenToKeys(this);
    this.#wire();
  }

  #wire() {
    const acts = {
      undo: () => this.undo(), redo: () => this.redo(), finish: () => this.finish(), blank: () => this.toggleBlank(),
      clear: () => this.clear(), save: () => this.save(), skip: () => this.askSkip(), back: () => this.goBack(),
      "zoom-in": () => this.looking.zoom(1.25), "zoom-out": () => this.looking.zoom(0.8),
      "zoom-fit": () => this.looking.fit(), remove: () => this.tool.remove(),
    };
    for (const [id, act] of Object.entries(acts)) $(id).onclick = act;
    hold($("peek"), (on) => this.looking.peek(on));
    $("fold").onclick = () => unfold(!isUnfolded());
    $("looks").open = innerWidth >= 1100 && innerHeight >= 760;
    document.addEventListener("mousedown", (event) => {
      // a press of the mouse leaves the keys with the image
      if (this.active && event.target.closest("header button, #work button, #work summary, #work .choice")) event.preventDefault();
    });
    const keep = () => document.visibilityState === "hidden" && this.active && this.#keep();
    document.addEventListener("visibilitychange", keep);
    addEventListener("pagehide", keep);
  }

  // --- A task begins and ends ---------------------------------------------------------------------------------------

  /** @param {import("./tasks.js").Task} task */
  async open(task) {
    await this.leave();
    const bitmaps = this.shower.bitmaps(task);
    const draft = await this.#draft(task.id);
    const first = this.task === null;
    this.task = task;
    this.head = { ...head(task.saved), elapsed: 0, started: new Date().toISOString(), ...draft?.head };
    this.history = draft?.history ?? new History(before(task.saved));
    this.clock = new Clock(this.head.elapsed);
    this.clock.pause(); // until the image is there
    this.#arrange(task);
    this.active = true;
    unfold(first || toRead(this.study, task)); // the question is read once, and what differs each time
    $("panel").scrollTop = 0;
    this.use(this.marking ?? this.panel.tools[0]);
    if (this.head.pending) this.#resume(this.head.pending);
    this.refresh();
    await this.shower.show(task, bitmaps);
    if (this.task !== task) return;
    this.focus();
    this.tool.prepare?.();
  }

  /** Have everything of a task at hand before it is opened. */
  prepare(task) {
    this.shower.bitmaps(task);
    this.prepared = { id: task.id, draft: drafts.load(drafts.keyOf(this.session.who, task.id)) };
  }

  #draft(id) {
    const ready = this.prepared?.id === id ? this.prepared.draft : null;
    this.prepared = null; // it may change from now on
    return ready ?? drafts.load(drafts.keyOf(this.session.who, id));
  }

  /** Put the task aside; its draft stays. */
  async leave() {
    if (!this.active) return;
    this.active = false;
    this.clock.stop();
    await this.#keep();
  }

  #arrange(task) {
    const pair = task.images.length > 1;
    if (this.stages.length !== task.images.length) {
      this.stages.forEach((stage) => stage.close());
      this.stages = task.images.map((_, i) => this.#stage(pair ? LETTERS[i] : ""));
      $("stages").replaceChildren(...this.stages.map((stage) => stage.element));
      $("stages").classList.toggle("pair", pair);
    }
    this.#point(this.stages[0]);
  }

  #stage(letter) {
    const stage = new Stage(letter ? `Image ${letter}` : "Image", letter, this.study.reveal?.blur);
    stage.tools = Object.fromEntries(this.panel.tools.map((name) => [name, new TOOLS[name].make(stage, this.#desk)]));
    stage.drawOverlay = (context) => this.#overlay(context, stage);
    stage.onView = () => this.shower.viewed(stage);
    this.panel.dress(stage);
    listen(stage, {
      tool: () => stage.tools[this.toolName],
      at: (stamp) => this.clock.at(stamp),
      panning: () => this.looking.panning,
      touched: () => {
        const putAway = isSheetOpen();
        unfold(false);
        this.#point(stage);
        return putAway;
      },
      hover: (_, point) => {
        this.hovering = point && { stage, ...point };
        if (!point) stage.tools[this.toolName].leave?.();
        this.#ring(stage);
      },
    });
    stage.element.addEventListener("focus", () => this.#point(stage));
    return stage;
  }

  /** What the tools work on. */
  #desk = {
    panel: () => this.panel,
    radius: ({ view: { width, height } }) => {
      const { reveal } = this.study;
      return reveal ? reveal.radius * Math.max(width, height) : this.panel.radius(width, height);
    },
    changed: () => {
      this.stage?.invalidate("overlay");
      $("finish").disabled = !(this.tool?.finish && this.tool.points.length >= 3);
      if (this.toolName === "polygon") this.#keepSoon();
    },
    commit: (stage, shape, drawn) => {
      const index = this.stages.indexOf(stage);
      this.change({ do: "add", shape: this.stages.length > 1 ? { ...shape, image: index } : shape }, drawn);
    },
    replace: (stage, shape, shapes) => this.change({ do: "replace", at: this.state.shapes.indexOf(shape), shapes }),
  };

  // --- Answers ------------------------------------------------------------------------------------------------------

  put(answers) {
    Object.assign(this.head, answers);
    this.refresh();
    this.#keep();
  }

  sure(value) {
    if (this.study.confidence) this.put({ confidence: value });
  }

  answerNumber(index) {
    const option = answers(this.study)[index];
    if (!option) return;
    this.put(this.study.mode === "pair" ? { side: index } : { answer: option.value });
    say(`Answer: ${option.text}`);
  }

  /** Accept, edit or reject the map under review. Its answer is taken over where none is given yet. */
  verdict(review) {
    const draft = this.task.drafts[this.head.draft ?? 0];
    if (!draft) return;
    const answer = review === "reject" ? this.head.answer : (this.head.answer ?? draft.answer ?? null);
    if (review === "edit" && this.head.review !== "edit") this.change({ do: "load", shapes: draft.shapes });
    if (review === "reject" && this.head.review === "edit") this.change({ do: "clear" });
    this.put({ review, answer, draft: this.head.draft ?? 0 });
    say(`Map: ${review}`);
  }

  // --- Marks --------------------------------------------------------------------------------------------------------

  /** @param {import("./history.js").Change} change @param {boolean} drawn whether the marks show it already */
  change(change, drawn = false) {
    if (keepsAll(this.study) && change.do !== "add") return;
    this.history.push(change);
    drafts.saveChange(this.#key, this.#written, this.history).catch(() => say("This browser cannot keep your work.", "assertive"));
    this.refresh(drawn);
  }

  undo() {
    if (keepsAll(this.study)) return undefined;
    if (this.tool.busy) return this.tool.back ? this.tool.back() : this.tool.cancel();
    this.history.undo();
    this.#keep();
    return this.refresh();
  }

  redo() {
    if (keepsAll(this.study)) return;
    this.history.redo();
    this.#keep();
    this.refresh();
  }

  toggleBlank() {
    this.change({ do: "blank", value: !this.state.blank });
    say(this.state.blank ? "Nothing to mark." : "You may mark again.");
  }

  clear() {
    if (this.state.shapes.length) this.change({ do: "clear" });
  }

  finish() {
    if (this.tool.finish && !this.tool.finish()) say("A polygon needs three points.");
  }

  escape() {
    if (this.tool.busy) this.tool.cancel();
    else if (this.tool.selection) this.tool.choose(null);
    else this.cursor.toggle(false);
    this.cursor.drawing = false;
  }

  /** Everything on the page that depends on answers and marks. */
  refresh(drawn = false) {
    if (this.lacking) $("alert").textContent = ""; // something was done about it
    this.lacking = false;
    this.state = this.history.state();
    show(this.study, this.task, this.head, this.state.blank);
    $("undo").disabled = !this.history.canUndo;
    $("redo").disabled = !this.history.canRedo;
    $("clear").disabled = !this.state.shapes.length;
    this.stages.forEach((stage, i) => {
      const own = this.stages.length > 1 ? this.state.shapes.filter((shape) => (shape.image ?? 0) === i) : this.state.shapes;
      if (drawn) stage.shapes = own;
      else stage.setShapes(own);
    });
    this.shower.overlay(overlaid(this.study, this.task, this.head));
  }

  // --- Tools ----------------------------------------------------------------------------------------------------------

  use(name) {
    if (!this.panel.tools.includes(name)) return;
    if (this.tool?.busy && !this.tool.finish?.()) this.tool.cancel();
    if (this.toolName && this.toolName !== name) say(TOOLS[name].hint);
    this.toolName = name;
    if (name !== "select") this.marking = name; // a new image has nothing to select
    this.tool = this.stage.tools[name];
    this.panel.chosen(name);
    this.tool.prepare?.();
    this.#desk.changed();
    for (const stage of this.stages) stage.element.dataset.tool = name;
  }

  #resized() {
    this.stage.invalidate("overlay");
    this.shower.measure(this.stage);
  }

  /** Take hold of the next mark. */
  nextMark() {
    this.use("select");
    this.tool.next?.();
    this.focus(); // the arrow keys move it
  }

  /** In a pair: to the other image. */
  other() {
    this.stages[1 - this.stages.indexOf(this.stage)].element.focus();
    say(this.stage.element.getAttribute("aria-label"));
  }

  focus() {
    this.stage?.element.focus({ preventScroll: true });
  }

  #point(stage) {
    if (stage === this.stage) return;
    if (this.tool?.busy && !this.tool.finish?.()) this.tool.cancel();
    this.stage?.invalidate("overlay");
    this.stage = stage;
    this.tool = stage.tools[this.toolName];
    if (this.cursor.on) this.cursor.centre(stage);
    this.stages.forEach((one) => one.element.classList.toggle("current", one === stage && this.stages.length > 1));
    stage.invalidate("overlay");
    this.shower.viewed(stage);
  }

  #overlay(context, stage) {
    stage.tools[this.toolName]?.overlay(context);
    this.cursor.draw(context, stage);
    this.#ring(stage);
  }

  /** The brush as wide as it is, where it would paint. */
  #ring(stage) {
    const at = this.cursor.on && stage === this.stage ? this.cursor : this.hovering?.stage === stage ? this.hovering : null;
    const brush = ["brush", "eraser", "reveal"].includes(this.toolName);
    stage.ring(at && brush ? [at.x, at.y, this.#desk.radius(stage)] : null);
  }

  // --- Keeping and saving ---------------------------------------------------------------------------------------------

  get #key() {
    return drafts.keyOf(this.session.who, this.task.id);
  }

  get #written() {
    const polygon = this.toolName === "polygon" && this.tool?.busy;
    const pending = polygon ? { image: this.stages.indexOf(this.stage), points: this.tool.points, times: this.tool.times } : null;
    return { ...this.head, elapsed: Math.round(this.clock.now), pending };
  }

  #keep() {
    return drafts.saveHead(this.#key, this.#written, this.history).catch(() => {});
  }

  #keepSoon() {
    clearTimeout(this.keeping);
    this.keeping = setTimeout(() => this.active && this.#keep(), 100);
  }

  /** A polygon that was begun before a reload. */
  #resume({ image, points, times }) {
    this.use("polygon");
    this.#point(this.stages[image]);
    Object.assign(this.tool, { points, times });
    this.#desk.changed();
  }

  async save(skipped = null) {
    if (!this.active) return;
    if (this.tool.busy && !skipped && !this.tool.finish?.()) this.tool.cancel();
    const [lack] = skipped ? [] : missing(this.study, this.task, this.head, this.state);
    if (lack) {
      say(lack.text, "assertive");
      this.lacking = true;
      const place = $(lack.where);
      unfold($("panel").contains(place));
      (place.querySelector("input") ?? place).focus();
      return;
    }
    this.active = false;
    this.clock.stop();
    clearTimeout(this.keeping);
    $("alert").textContent = "";
    const { task, session } = this;
    const about = { elapsed_ms: Math.round(this.clock.now), started: this.head.started, skipped };
    const entry = { key: uuid(), who: session.who, token: session.token, body: body(this.study, task, this.head, this.state, about) };
    const key = this.#key; // the draft goes once the save is kept; the next image does not wait for that
    this.queue.add(entry).then(() => drafts.drop(key)).catch(() => {});
    await this.after.done(task);
  }

  async askSkip() {
    const reason = await askReason(this.study.skip_reasons);
    if (reason) await this.save(reason);
  }

  goBack() {
    this.after.back();
  }
}

/** The history of a task that was saved before. */
function before(saved) {
  if (saved?.blank) return [{ do: "blank", value: true }];
  return saved?.shapes?.length ? [{ do: "load", shapes: saved.shapes }] : [];
}
