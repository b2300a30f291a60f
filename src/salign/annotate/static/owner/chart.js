/** Bars, the curve of agreement and tables for the owner, made as elements: no markup from data. */

import { make } from "../dom.js";

const SPACE = "http://www.w3.org/2000/svg";
const ROW = 26;

function svg(name, attributes = {}, text = "") {
  const element = document.createElementNS(SPACE, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  element.textContent = text;
  return element;
}

/**
 * Horizontal bars with their values; the picture scales with its place.
 * @param {{label: string, value: number}[]} rows @param {string} about for screen readers
 */
export function bars(rows, about) {
  const most = Math.max(1, ...rows.map((row) => row.value));
  const spoken = `${about}: ${rows.map((row) => `${row.label}: ${row.value}`).join(", ")}`;
  const chart = svg("svg", { viewBox: `0 0 560 ${ROW * rows.length}`, role: "img", class: "chart", "aria-label": spoken });
  rows.forEach(({ label, value }, i) => {
    chart.append(
      svg("text", { x: 150, y: ROW * i + 18, "text-anchor": "end", class: "label" }, label),
      svg("rect", { x: 160, y: ROW * i + 4, width: Math.max(1, (340 * value) / most), height: ROW - 8, rx: 3, class: "bar" }),
      svg("text", { x: 168 + (340 * value) / most, y: ROW * i + 18, class: "label" }, String(value)),
    );
  });
  return chart;
}

/**
 * Agreement over the number of people: measured (dots), predicted (line), and what is usually asked for (dashes).
 * @param {{points: {people: number, r: number, images: number}[], predicted: number[], people: number, goal: number}} data
 */
export function curve({ points, predicted, people, goal }) {
  const last = Math.max(predicted.length, ...points.map((point) => point.people), 2);
  const x = (count) => 46 + (490 * (count - 1)) / (last - 1);
  const y = (value) => 214 - 200 * Math.min(1, Math.max(0, value));
  const measured = points.map((point) => `groups of ${point.people}: ${point.r.toFixed(2)}`).join(", ");
  const expected = predicted.map((value, i) => `${i + 1}: ${value.toFixed(2)}`).join(", ");
  const spoken = `Agreement of the mean maps of two groups of people. Measured: ${measured}. Predicted for each number of people: ${expected || "nothing"}.`;
  const chart = svg("svg", { viewBox: "0 0 560 264", role: "img", class: "chart", "aria-label": spoken });
  for (const value of [0, 0.25, 0.5, 0.75, 1]) {
    chart.append(svg("line", { x1: 46, x2: 536, y1: y(value), y2: y(value), class: "grid" }), svg("text", { x: 38, y: y(value) + 5, "text-anchor": "end", class: "label" }, value.toFixed(2)));
  }
  for (let count = 1; count <= last; count += 1) chart.append(svg("text", { x: x(count), y: 234, "text-anchor": "middle", class: "label" }, String(count)));
  chart.append(svg("text", { x: 291, y: 257, "text-anchor": "middle", class: "label" }, "people in a group"));
  chart.append(svg("line", { x1: 46, x2: 536, y1: y(goal), y2: y(goal), class: "goal" }), svg("line", { x1: x(people), x2: x(people), y1: y(0), y2: y(1), class: "now" }));
  chart.append(svg("text", { x: x(people) + 5, y: y(0) - 6, class: "label" }, "now"));
  if (predicted.length) chart.append(svg("polyline", { points: predicted.map((value, i) => `${x(i + 1)},${y(value)}`).join(" "), class: "line" }));
  for (const point of points) chart.append(svg("circle", { cx: x(point.people), cy: y(point.r), r: 5, class: "bar" }));
  return make("figure", {}, chart, make("figcaption", { className: "faint", textContent: "Dots: measured, mean maps of two groups of annotators. Line: what two people let expect (Spearman-Brown). Dashes: usually asked for." }));
}

/** A thin bar inside a table cell. @param {number | null} share in [0, 1] */
export function meter(share) {
  const bar = svg("svg", { viewBox: "0 0 60 8", class: "meter", "aria-hidden": "true" });
  bar.append(svg("rect", { width: 60, height: 8, rx: 3, class: "ground" }), svg("rect", { width: 60 * Math.min(1, Math.max(0, share ?? 0)), height: 8, rx: 3, class: "bar" }));
  return bar;
}

/**
 * @template Row
 * @param {{title: string, cell: (row: Row) => Node | string, number?: boolean, kind?: string}[]} columns @param {Row[]} rows
 */
export function table(columns, rows) {
  const kind = (column) => (column.number ? "number" : "");
  const top = make("tr", {}, ...columns.map((column) => make("th", { scope: "col", className: kind(column), textContent: column.title })));
  const body = rows.map((row) =>
    make("tr", {}, ...columns.map((column, i) => make(i ? "td" : "th", { ...(i ? {} : { scope: "row" }), className: kind(column) }, column.cell(row)))),
  );
  return make("table", {}, make("thead", {}, top), make("tbody", {}, ...body));
}
