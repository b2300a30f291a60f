/**
 * Mouse, pen and fingers on a stage. One finger draws, two pan and zoom; space or the middle button pans.
 *
 * A resting palm does nothing while a pen is near: fingers are ignored for a moment after every pen event.
 */

const PALM = 800; // ms
const HARD = 2; // a pen's pressure of 0.5 is the brush as set

/** What a pen's pressure makes of the radius; mouse and finger have none. */
const pressing = (event) => (event.pointerType === "pen" ? Math.min(HARD, Math.max(0.1, HARD * event.pressure)) : 1);

/**
 * @param {import("./stage.js").Stage} stage
 * @param {{tool: (stage) => object, at: (timeStamp: number) => number, panning: () => boolean, hover: (stage, point) => void,
 *   touched: (stage) => boolean}} desk `touched` says whether the touch was for what lay over the image, and draws nothing
 */
export function listen(stage, desk) {
  const { element } = stage;
  /** Fingers and buttons now down: id -> screen position. @type {Map<number, number[]>} */
  const down = new Map();
  let doing = ""; // "", "draw", "pan" or "pinch"
  let penAt = -Infinity;

  const place = (event) => {
    const frame = element.getBoundingClientRect();
    return [event.clientX - frame.left - element.clientLeft, event.clientY - frame.top - element.clientTop];
  };
  const point = (event) => {
    const [x, y] = stage.view.toImage(...place(event));
    return { x, y, pressure: pressing(event), at: desk.at(event.timeStamp), alt: event.altKey };
  };
  const palm = (event) => event.pointerType === "touch" && event.timeStamp - penAt < PALM;

  element.addEventListener("pointerdown", (event) => {
    if (event.pointerType === "pen") penAt = event.timeStamp;
    if (palm(event) || event.button === 2) return;
    event.preventDefault();
    element.focus({ preventScroll: true, focusVisible: false });
    element.setPointerCapture(event.pointerId);
    if (desk.touched(stage)) return;
    down.set(event.pointerId, place(event));
    if (event.pointerType === "touch" && down.size > 1) {
      if (doing === "draw") desk.tool(stage).interrupt();
      doing = "pinch";
    } else if (event.button === 1 || desk.panning()) doing = "pan";
    else {
      doing = "draw";
      desk.tool(stage).down(point(event));
    }
    element.classList.toggle("panning", doing === "pan");
  });

  element.addEventListener("pointermove", (event) => {
    if (event.pointerType === "pen") penAt = event.timeStamp;
    if (palm(event)) return;
    const now = place(event);
    const before = down.get(event.pointerId);
    if (doing === "pinch" && before) pinch(stage, down, event.pointerId, now);
    else if (doing === "pan" && before) shift(stage, now[0] - before[0], now[1] - before[1]);
    else if (!doing || doing === "draw") {
      const passed = event.getCoalescedEvents?.() ?? [];
      desk.tool(stage).move((passed.length ? passed : [event]).map(point));
      desk.hover(stage, event.pointerType === "touch" ? null : point(event));
    }
    if (before) down.set(event.pointerId, now);
  });

  const ended = (event) => {
    if (!down.delete(event.pointerId)) return;
    if (doing === "draw" && event.type === "pointerup") desk.tool(stage).up(point(event));
    else if (doing === "draw") desk.tool(stage).interrupt();
    if (!down.size) doing = "";
    element.classList.remove("panning");
  };
  element.addEventListener("pointerup", ended);
  element.addEventListener("pointercancel", ended);
  element.addEventListener("pointerleave", () => desk.hover(stage, null));
  element.addEventListener("dblclick", () => desk.tool(stage).finish?.());
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  element.addEventListener(
    "wheel",
    (event) => {
      event.preventDefault();
      const lines = event.deltaMode ? 16 : 1;
      stage.view.zoom(Math.exp(-Math.max(-120, Math.min(120, event.deltaY * lines)) * 0.002), ...place(event));
      stage.changedView();
    },
    { passive: false },
  );
}

function shift(stage, dx, dy) {
  stage.view.pan(dx, dy);
  stage.changedView();
}

/** Two fingers: what was between them stays between them. */
function pinch(stage, down, id, now) {
  const other = [...down].find(([key]) => key !== id)?.[1];
  if (!other) return;
  const before = down.get(id);
  const middle = (a) => [(a[0] + other[0]) / 2, (a[1] + other[1]) / 2];
  const apart = (a) => Math.max(1, Math.hypot(a[0] - other[0], a[1] - other[1]));
  const [from, to] = [middle(before), middle(now)];
  stage.view.pan(to[0] - from[0], to[1] - from[1]);
  stage.view.zoom(apart(now) / apart(before), ...to);
  stage.changedView();
}
