/** Making elements. Text goes in as text, never as markup. */

/** @param {string} id @returns {HTMLElement} */
export const $ = (id) => document.getElementById(id);

/**
 * @param {string} name @param {object} properties of the element; `aria-...`, `role` and `for` are set as attributes
 * @param {...(Node | string)} content
 */
export function make(name, properties = {}, ...content) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (/^(aria-|role$|for$|data-)/.test(key)) element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...content);
  return element;
}

/** Paragraphs of a plain text, split by blank lines. */
export function paragraphs(text) {
  return text.split(/\n\s*\n/).filter((part) => part.trim()).map((part) => make("p", { textContent: part.trim() }));
}

const SHOWN = { live: 3500, alert: 12_000 }; // ms: a message lies over the header
const fading = {};

/** Tell everybody: on the screen for a while, and to screen readers. @param {"polite" | "assertive"} how */
export function say(text, how = "polite") {
  const id = how === "assertive" ? "alert" : "live";
  $(id).textContent = text;
  clearTimeout(fading[id]);
  fading[id] = setTimeout(() => ($(id).textContent = ""), SHOWN[id]);
}

/** A button that acts while it is held, by pointer or by Space and Enter. @param {(on: boolean) => void} act */
export function hold(button, act) {
  const begin = (event) => (event.key === undefined || event.key === " " || event.key === "Enter") && act(true);
  for (const name of ["pointerdown", "keydown"]) button.addEventListener(name, begin);
  for (const name of ["pointerup", "pointercancel", "pointerleave", "keyup", "blur"]) button.addEventListener(name, () => act(false));
}

/** On a phone the panel is a sheet over the image, open or not; where there is room it is always there. */
export function unfold(on) {
  $("work").classList.toggle("unfolded", on);
  $("fold").setAttribute("aria-expanded", String(on));
  $("fold").textContent = on ? `${$("fold").dataset.act} ▾` : `${$("fold").dataset.answer} ▴`;
}

export const isUnfolded = () => $("work").classList.contains("unfolded");

/** Whether the sheet lies over the image now, as it does on a phone alone. */
export const isSheetOpen = () => isUnfolded() && getComputedStyle($("fold")).display !== "none";

/** Only one of the page's sections is shown. */
export function view(id) {
  for (const section of document.querySelectorAll("main > section")) section.hidden = section.id !== id;
  document.body.dataset.view = id;
}

/**
 * A row of choices: native radio buttons, looking like buttons.
 * @param {HTMLElement} place @param {string} name @param {{value: string, text: string, key?: string, icon?: string, hint?: string}[]} options
 * @param {(value: string) => void} chosen
 */
export function choices(place, name, options, chosen) {
  place.replaceChildren(
    ...options.map(({ value, text, key, icon, hint }) => {
      const input = make("input", { type: "radio", name, value, onchange: () => chosen(value) });
      const face = make("span", { className: "face" });
      if (icon) face.append(symbol(icon));
      face.append(make("span", { className: "text", textContent: text }));
      if (key) face.append(make("kbd", { textContent: key, "aria-hidden": "true" }));
      if (key) input.setAttribute("aria-keyshortcuts", key);
      return make("label", { className: "choice", title: hint ? `${text}. ${hint}` : "" }, input, face);
    }),
  );
}

/** Show which one is chosen; null for none. */
export function choose(place, value) {
  for (const input of place.querySelectorAll("input")) input.checked = input.value === String(value);
}

function symbol(id) {
  const space = "http://www.w3.org/2000/svg";
  const picture = document.createElementNS(space, "svg");
  picture.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `#i-${id}`);
  picture.append(use);
  return picture;
}
