/** Bars and tables for the owner, made as elements: no markup from data. */

import { make } from "./dom.js";

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
  const kind = (column) => (column.number ? "number" : (column.kind ?? ""));
  const top = make("tr", {}, ...columns.map((column) => make("th", { scope: "col", className: kind(column), textContent: column.title })));
  const body = rows.map((row) =>
    make("tr", {}, ...columns.map((column, i) => make(i ? "td" : "th", { ...(i ? {} : { scope: "row" }), className: kind(column) }, column.cell(row)))),
  );
  return make("table", {}, make("thead", {}, top), make("tbody", {}, ...body));
}
