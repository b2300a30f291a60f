"use strict";
// Sorts and filters the images of a gallery, and makes the pictures of those that come into view.
(() => {
  const root = document.querySelector(".gallery");
  const { runs, items } = JSON.parse(root.querySelector("script").textContent);
  const form = root.querySelector("form");
  const grid = root.querySelector(".items");
  const dialog = root.querySelector("dialog");
  const CHUNK = 12;
  const two = runs.length > 1;
  let ordered = []; // all items, sorted
  let order = null; // by this
  let shown = []; // those that pass the filter
  let drawn = 0; // so many of them are in the page

  const make = (tag, properties = {}, ...children) => {
    const node = Object.assign(document.createElement(tag), properties);
    node.append(...children);
    return node;
  };
  const percent = (value) => `${Math.round(100 * value)}%`;
  const first = (item) => item.answers[0];
  const right = (item, answer) => item.label !== null && item.label === answer.predicted;
  const wrong = (item, answer) => item.label !== null && item.label !== answer.predicted;
  const values = (of) => [...new Set(items.map(of))].filter((value) => value !== null && value !== undefined).sort();

  const human = (item) => (item.human === null ? "nobody looked" : item.note || "marked");
  const ANSWERS = {
    wrong: (item) => item.answers.some((answer) => wrong(item, answer)),
    right: (item) => item.answers.every((answer) => right(item, answer)),
    "true class unknown": (item) => item.label === null,
  };
  if (two) ANSWERS["the runs differ"] = (item) => item.answers[0].predicted !== item.answers[1].predicted;
  const by = (of, up) => (a, b) => {
    const [x, y] = [of(a), of(b)];
    if (x === null || y === null) return (x === null) - (y === null); // what is unknown comes last
    return up ? x - y : y - x;
  };
  const sure = (item) => first(item).probability;
  const SORTS = {
    "mistakes first, the surest first": (a, b) =>
      ANSWERS.wrong(b) - ANSWERS.wrong(a) || (ANSWERS.wrong(a) ? sure(b) - sure(a) : sure(a) - sure(b)),
    "least sure first": by(sure, true),
    "surest first": by(sure, false),
    "least agreement with people first": by((item) => first(item).agreement, true),
    "most agreement with people first": by((item) => first(item).agreement, false),
    name: (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
  };
  if (two) {
    const change = (item) => (item.label === null ? null : truth(item, 1) - truth(item, 0));
    const truth = (item, k) => (right(item, item.answers[k]) ? item.answers[k].probability : -item.answers[k].probability);
    SORTS[`${runs[1]} gains most`] = by(change, false);
    SORTS[`${runs[1]} loses most`] = by(change, true);
  }

  const choose = (name, options, all) => {
    const select = form.elements[name];
    if (all) select.append(new Option(all, ""));
    for (const value of options) select.append(new Option(value, value));
    if (options.length < 2 && all) select.parentElement.hidden = true;
  };
  choose("sort", Object.keys(SORTS));
  choose("set", values((item) => item.set), "all");
  choose("label", values((item) => item.label), "all");
  choose("predicted", [...new Set(items.flatMap((item) => item.answers.map((answer) => answer.predicted)))].sort(), "all");
  choose("answer", Object.keys(ANSWERS).filter((kind) => items.some(ANSWERS[kind])), "all");
  choose("human", values(human), "all");
  const groups = [...new Set(items.flatMap((item) => Object.keys(item.groups)))];
  for (const group of groups) {
    const select = make("select", { name: `group:${group}` });
    form.elements.text.parentElement.before(make("label", {}, group, select));
    choose(`group:${group}`, values((item) => item.groups[group]), "all");
  }

  const stack = (item, heat, name) => {
    const base = make("img", { className: "base", loading: "lazy", decoding: "async", src: item.image, alt: name });
    const node = make("span", { className: "stack" }, base);
    node.style.aspectRatio = item.aspect;
    if (heat) node.append(make("img", { className: "heat", loading: "lazy", src: heat, alt: "" }));
    return node;
  };
  const pictures = (item) => {
    const people = item.human === null
      ? make("span", { className: "stack absent" }, item.note)
      : stack(item, item.human, `${item.id} with the human map`);
    return [
      make("span", {}, stack(item, null, item.id), "image"),
      make("span", {}, people, item.human === null ? "human map" : item.note || "human map"),
      ...item.answers.map((answer, k) =>
        make("span", {}, stack(item, `data:image/png;base64,${answer.map}`, `${item.id} with the map of ${runs[k]}`),
          two ? runs[k] : "model map", answer.note ? `: ${answer.note}` : "")),
    ];
  };
  const say = (item, answer, k) => {
    const agreement = answer.agreement === null ? "" : ` · agreement ${answer.agreement.toFixed(2)}`;
    const energy = answer.energy === null ? "" : ` · ${percent(answer.energy)} inside`;
    const mark = wrong(item, answer) ? "⚠ " : "";
    return `${mark}${two ? `${runs[k]}: ` : ""}predicted ${answer.predicted} (${percent(answer.probability)})${agreement}${energy}`;
  };
  const words = (item) => [
    item.label === null ? "true class unknown" : `true ${item.label}`,
    ...item.answers.map((answer, k) => say(item, answer, k)),
  ];
  const quiet = (item) =>
    [item.id, item.set, ...Object.entries(item.groups).map(([group, value]) => `${group} ${value}`)].join(" · ");

  const tile = (item, position) => {
    const button = make("button", { type: "button", title: "Show at its own size" }, ...pictures(item));
    button.addEventListener("click", () => open(position));
    const caption = make("figcaption", {}, words(item).join(two ? "\n" : ", "), make("span", {}, quiet(item)));
    caption.style.whiteSpace = "pre-line";
    return make("figure", { className: `tile item${ANSWERS.wrong(item) ? " flagged" : ""}` }, button, caption);
  };
  const more = root.querySelector(".more");
  const draw = () => {
    while (drawn < shown.length && (!drawn || more.getBoundingClientRect().top < innerHeight + 400)) {
      const next = shown.slice(drawn, drawn + CHUNK);
      grid.append(...next.map((item, k) => tile(item, drawn + k)));
      drawn += next.length;
    }
  };
  const update = () => {
    const is = (name) => form.elements[name].value;
    const text = is("text").toLowerCase();
    const wanted = groups.map((group) => [group, is(`group:${group}`)]).filter(([, value]) => value !== "");
    if (order !== is("sort")) {
      order = is("sort");
      ordered = [...items].sort(SORTS[order]);
    }
    shown = ordered.filter((item) =>
      (!is("set") || item.set === is("set")) &&
      (!is("label") || item.label === is("label")) &&
      (!is("predicted") || item.answers.some((answer) => answer.predicted === is("predicted"))) &&
      (!is("answer") || ANSWERS[is("answer")](item)) &&
      (!is("human") || human(item) === is("human")) &&
      (!text || item.id.toLowerCase().includes(text)) &&
      wanted.every(([group, value]) => item.groups[group] === value));
    drawn = 0;
    grid.replaceChildren();
    draw();
    root.querySelector(".count").textContent = `${shown.length} of ${items.length} images`;
  };

  let at = 0;
  const open = (position) => {
    at = Math.max(0, Math.min(shown.length - 1, position));
    const item = shown[at];
    const step = (words, by) => {
      const button = make("button", { type: "button", disabled: !shown[at + by] }, words);
      button.addEventListener("click", () => open(at + by));
      return button;
    };
    const close = make("button", { type: "button" }, "Close (Esc)");
    close.addEventListener("click", () => dialog.close());
    dialog.replaceChildren(
      make("h3", {}, item.id),
      make("p", {}, [...words(item), quiet(item)].join("\n")),
      make("div", { className: "buttons" }, step("← Previous", -1), step("Next →", 1), close),
      make("div", { className: "large" }, ...pictures(item)));
    if (!dialog.open) dialog.showModal();
  };
  dialog.addEventListener("keydown", (event) => {
    if (event.key === "ArrowLeft") open(at - 1);
    if (event.key === "ArrowRight") open(at + 1);
  });

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    if (event.target.name !== "opacity") update();
    else root.querySelector("feFuncA").setAttribute("slope", event.target.value);
  });
  const [red, green, blue] = ["feFuncR", "feFuncG", "feFuncB"].map((name) =>
    root.querySelector(name).getAttribute("tableValues").split(" ").map((value) => Math.round(255 * value)));
  root.querySelector(".legend i").style.background =
    `linear-gradient(to right, ${red.map((_, k) => `rgb(${red[k]} ${green[k]} ${blue[k]})`).join(", ")})`;
  new IntersectionObserver((entries) => entries[0].isIntersecting && draw(), { rootMargin: "400px" })
    .observe(more);
  update();
})();
