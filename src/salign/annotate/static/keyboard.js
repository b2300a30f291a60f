/**
 * Everything by keys: commands, and a cursor on the image that draws as a mouse does.
 *
 * Keys without Ctrl can be turned off in the help dialog; those that move and draw then still act on a focused image.
 */

import { say } from "./dom.js";
import { singleKeys } from "./help.js";
import { TOOLS } from "./canvas/toolbox.js";
import { twice } from "./canvas/tools.js";

const STEP = 10; // CSS pixels
const LEAP = 60;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** Image pixels that an arrow key goes. */
const stepOf = ({ shiftKey, altKey }, { scale }) => (shiftKey ? 1 : (altKey ? LEAP : STEP) / scale);

/** The cross that the arrow keys move. */
export class Cursor {
  on = false;
  drawing = false;

  /** @param {import("./work.js").Work} work */
  constructor(work) {
    this.work = work;
    this.x = this.y = 0;
  }

  toggle(on = !this.on) {
    if (on === this.on) return;
    this.on = on;
    this.drawing = false;
    const { stage, tool } = this.work;
    if (on) {
      this.centre(stage);
      this.work.focus(); // a button that was clicked before would take the keys
    } else if (tool?.busy && !tool.finish) tool.cancel();
    stage.invalidate("overlay");
    say(on ? "Cursor on. Arrows move it, space or enter draws, escape leaves." : "Cursor off.");
  }

  centre(stage) {
    const { view } = stage;
    [this.x, this.y] = view.toImage(view.across / 2, view.down / 2);
    this.#hold(view);
  }

  move(dx, dy, event) {
    const { stage, tool } = this.work;
    const { view } = stage;
    const step = stepOf(event, view);
    const grid = (value, by) => (by && event.shiftKey ? Math.round(value + by) : value + by * step); // onto whole pixels
    [this.x, this.y] = [grid(this.x, dx), grid(this.y, dy)];
    this.#hold(view);
    if (view.reveal(this.x, this.y)) stage.changedView();
    tool.move([this.point]);
    stage.invalidate("overlay");
    this.#tell();
  }

  /** Space or Enter. */
  press() {
    const { tool, toolName } = this.work;
    if (tool.clicks) {
      tool.down(this.point);
      tool.up(this.point);
      if (tool.message) say(tool.message);
    } else if (this.drawing) {
      this.drawing = false;
      tool.up(this.point);
      say(`${toolName} ended`);
    } else {
      this.drawing = true;
      tool.down(this.point);
      say(`${toolName} begins`);
    }
  }

  get point() {
    return { x: this.x, y: this.y, pressure: 1, at: this.work.clock.now, alt: false };
  }

  draw(context, stage) {
    if (!this.on || stage !== this.work.stage) return;
    const [x, y] = stage.view.toScreen(this.x, this.y);
    context.beginPath();
    for (const [dx, dy] of Object.values(ARROWS)) {
      context.moveTo(x + 3 * dx, y + 3 * dy);
      context.lineTo(x + 14 * dx, y + 14 * dy);
    }
    twice(context);
  }

  #hold(view) {
    this.x = Math.min(Math.max(this.x, 0), view.width);
    this.y = Math.min(Math.max(this.y, 0), view.height);
  }

  #tell() {
    clearTimeout(this.telling);
    this.telling = setTimeout(() => say(`x ${Math.round(this.x)}, y ${Math.round(this.y)}`), 400);
  }
}

const typing = (target) => target.matches?.("input:not([type=radio], [type=checkbox], [type=range]), textarea, select");
const pressable = (target) => target.matches?.("button, summary, a, input[type=checkbox]");

/** @param {import("./work.js").Work} work */
export function listenToKeys(work) {
  const command = (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey) return null;
    const key = event.key.toLowerCase();
    if (key === "z") return event.shiftKey ? () => work.redo() : () => work.undo();
    if (key === "y") return () => work.redo();
    if (key === "enter") return () => work.save();
    return null;
  };

  const single = (event) => {
    if (event.ctrlKey || event.metaKey) return null;
    if (event.shiftKey && /^Digit[1-5]$/.test(event.code)) return () => work.sure(Number(event.code.at(-1)));
    if (event.altKey) return null;
    if (/^[1-9]$/.test(event.key)) return () => work.answerNumber(Number(event.key) - 1);
    return LETTERS[event.key.toLowerCase()]?.(work) ?? null;
  };

  /** Arrows, Space, Enter, Escape: only where no control wants them. */
  const onStage = (event) => {
    const { cursor, tool } = work;
    if (event.ctrlKey || event.metaKey) return null;
    if (event.key in ARROWS) {
      const [dx, dy] = ARROWS[event.key];
      if (cursor.on) return () => cursor.move(dx, dy, event);
      const step = stepOf(event, work.stage.view);
      return tool.selection ? () => tool.nudge(step * dx, step * dy) : () => work.looking.pan(-40 * dx, -40 * dy);
    }
    if (event.key === "Backspace" && tool.back && tool.busy) return () => tool.back();
    if (event.key === " ") return cursor.on ? () => !event.repeat && cursor.press() : () => work.looking.holdSpace(true);
    if (event.key === "Enter" && cursor.on) return () => !event.repeat && cursor.press();
    return null;
  };

  document.addEventListener("keydown", (event) => {
    if (!work.active || document.querySelector("dialog[open]") || typing(event.target)) return;
    const free = event.target === document.body || event.target.matches?.(".stage");
    let act = command(event) ?? (free ? onStage(event) : null);
    if (!act && event.key === "Escape") act = () => work.escape();
    if (!act && event.key === "Enter" && !pressable(event.target)) act = () => !event.repeat && work.save();
    if (!act && (singleKeys() || event.target.matches?.(".stage"))) act = single(event);
    if (!act) return;
    event.preventDefault();
    act();
  });
  const release = (key) => {
    if (key === " " || key === null) work.looking.holdSpace(false);
    if (key === "h" || key === null) work.looking.peek(false);
  };
  document.addEventListener("keyup", (event) => release(event.key.toLowerCase()));
  addEventListener("blur", () => release(null));
}

/** Key -> what it does; null where it means nothing now. */
const LETTERS = {
  ...Object.fromEntries(Object.entries(TOOLS).map(([name, { key }]) => [key.toLowerCase(), (work) => () => work.use(name)])),
  "[": (work) => () => work.panel.turn(-1),
  "]": (work) => () => work.panel.turn(1),
  "+": (work) => () => work.looking.zoom(1.25),
  "=": (work) => () => work.looking.zoom(1.25),
  "-": (work) => () => work.looking.zoom(0.8),
  0: (work) => () => work.looking.fit(),
  n: (work) => () => work.toggleBlank(),
  s: (work) => () => work.askSkip(),
  g: (work) => () => work.goBack(),
  f: (work) => () => work.finish(),
  c: (work) => () => work.cursor.toggle(),
  h: (work) => () => work.looking.peek(true),
  m: (work) => () => work.looking.hide("hideMarks"),
  v: (work) => () => work.looking.hide("hideMap"),
  j: (work) => () => work.nextMark(),
  delete: (work) => work.tool.remove && (() => work.tool.remove()),
  backspace: (work) => work.tool.remove && (() => work.tool.remove()),
  w: (work) => (work.stages.length > 1 ? () => work.other() : null),
  a: (work) => (work.study.mode === "review" ? () => work.verdict("accept") : null),
  e: (work) => (work.study.mode === "review" ? () => work.verdict("edit") : null),
  r: (work) => (work.study.mode === "review" ? () => work.verdict("reject") : null),
  "?": () => () => document.getElementById("help").showModal(),
};
