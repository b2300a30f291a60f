/** Numbers and times as the owner reads them. */

const NONE = "–";
const missing = (value) => value === null || value === undefined;

export const number = (value, digits = 2) => (missing(value) ? NONE : value.toFixed(digits));
export const percent = (value) => (missing(value) ? NONE : `${Math.round(100 * value)} %`);
export const seconds = (value) => (missing(value) ? NONE : value < 90 ? `${value.toFixed(1)} s` : duration(value));
export const when = (value) => (missing(value) ? NONE : new Date(value).toLocaleString([], { dateStyle: "short", timeStyle: "short" }));
export const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

/** A long time in its largest unit. @param {number} value in seconds */
export function duration(value) {
  const [size, unit] = value >= 2 * 86_400 ? [86_400, "days"] : value >= 2 * 3600 ? [3600, "hours"] : [60, "min"];
  const count = value / size;
  return `${count < 10 ? count.toFixed(1) : Math.round(count)} ${unit}`;
}

/** What was answered, and whether that is what is known. */
export function answerText({ answer, skipped, review, label, right }) {
  if (skipped !== null) return `skipped: ${skipped}`;
  const verdict = right === null ? "" : right ? ", as labelled" : `, labelled ${label}`;
  return `${answer ?? "marks only"}${review && review !== answer ? ` (${review})` : ""}${verdict}`;
}
