/** How far the collection is, whether annotators agree, whom to look at, and whether more of them are needed. */

import { $, make } from "../dom.js";
import { bars, curve, meter, table } from "./chart.js";
import { duration, number, percent, seconds, sentence, when } from "./format.js";

/** @param {object} summary as the server makes it */
export function showOverview(summary) {
  const { coverage, agreement } = summary;
  document.title = $("title").textContent = summary.title;
  $("when").textContent = `as of ${new Date(summary.when).toLocaleTimeString([], { timeStyle: "short" })}`;
  $("begin").hidden = summary.annotators.some((row) => row.answered || row.skipped);
  $("figures").replaceChildren(
    figure("Answers", `${coverage.answered} of ${coverage.wanted}`, coverage.wanted ? percent(coverage.answered / coverage.wanted) : ""),
    figure("Images complete", `${coverage.complete} of ${coverage.images}`, `${summary.annotators_per_image} per image`),
    figure("Work left", coverage.answered < coverage.wanted && summary.seconds ? duration((coverage.wanted - coverage.answered) * summary.seconds.median) : "–", "answers that are missing, at the median time"),
    figure("Time per image", seconds(summary.seconds?.median), summary.seconds ? `90 % below ${seconds(summary.seconds.p90)}` : ""),
    figure("Agreement of answers", number(agreement.alpha), agreement.answers && agreement.alpha === null ? "Krippendorff's α is not defined: all answers are the same" : `Krippendorff's α, ${agreement.answers} images`),
    figure("Agreement of maps", number(agreement.map_cc), agreement.images ? `correlation; IoU ${number(agreement.map_iou)}; ${agreement.images} images` : "needs two maps of an image"),
    figure("One against the rest", number(agreement.map_ceiling), "map correlation: the ceiling for a model"),
  );
  if (summary.review) $("figures").append(...reviewFigures(summary.review));
  $("coverage-text").textContent = `${coverage.untouched} images without an answer; ${coverage.skipped} skips; ${coverage.gold} gold images besides.`;
  const named = ({ annotators, images }) => ({ label: annotators === 1 ? "1 annotator" : `${annotators} annotators`, value: images });
  $("coverage").replaceChildren(bars(coverage.by_count.map(named), "Images by number of annotators"));
  $("doubts").hidden = !summary.suspicious.length && !summary.broken.length;
  const unshown = summary.broken.map(({ path, reason }) => make("li", {}, make("strong", { textContent: path }), ` cannot be shown, and is left out until it is mended: ${reason}`));
  $("doubts-list").replaceChildren(...unshown, ...summary.suspicious.map(({ name, reason }) => make("li", {}, make("strong", { textContent: name }), `: ${reason}`)));
  $("another-text").replaceChildren(...summary.another.sentences.map((text) => make("li", { textContent: sentence(text) })));
  $("another").replaceChildren(...(summary.another.points.length ? [curve(summary.another)] : []));
  $("annotators").replaceChildren(summary.annotators.length ? table(ANNOTATOR, summary.annotators) : make("p", { textContent: "Nobody yet." }));
  $("arms-part").hidden = !summary.arms;
  if (summary.arms) $("arms").replaceChildren(table(ARM, summary.arms));
  $("images-text").textContent = summary.images.length < coverage.images ? `The ${summary.images.length} least annotated.` : "The least annotated first.";
  $("images").replaceChildren(table(IMAGE, summary.images));
}

function reviewFigures(review) {
  const verdict = review.target === null ? "" : review.enough === null ? `; from ${review.fewest} verdicts on it is known whether that is enough (${review.target})` : review.enough ? `; enough (target ${review.target})` : `; not enough (target ${review.target})`;
  return [
    figure("Drafts accepted", `${review.accepted} of ${review.judged}`, `${review.edited} edited, ${review.rejected} rejected`),
    figure("Drafts and final maps", number(review.iou), `IoU; correlation ${number(review.cc)}${verdict}`),
    ...(review.machine ? [figure("Maps nobody drew", `${review.saved} of ${review.machine}`, `${review.taken} accepted, ${review.unasked} not asked about so far`)] : []),
  ];
}

function figure(name, value, note) {
  return make("div", {}, make("dt", { textContent: name }), make("dd", { className: "value", textContent: value }), make("dd", { className: "note", textContent: note }));
}

const share = (value) => make("span", { className: "share" }, meter(value), percent(value));
const progress = (row) => {
  const all = row.answered + row.skipped + row.open + row.left;
  return all ? make("span", { className: "share" }, meter((row.answered + row.skipped) / all), `${row.answered + row.skipped} of ${all}`) : "–";
};
const gold = (row) => (row.gold_seen ? `${row.gold_right} of ${row.gold_seen}` : "–");

const ANNOTATOR = [
  { title: "Name", cell: (row) => (row.suspicious.length ? make("span", { className: "doubted", title: row.suspicious.join("; ") }, `⚠ ${row.shown ?? row.name}`) : (row.shown ?? row.name)) },
  { title: "Progress", number: true, cell: progress },
  { title: "Answered", number: true, cell: (row) => String(row.answered) },
  { title: "Skipped", number: true, cell: (row) => String(row.skipped) },
  { title: "Blank", number: true, cell: (row) => String(row.blank) },
  { title: "Open", number: true, cell: (row) => String(row.open) },
  { title: "Sent back", number: true, cell: (row) => String(row.returned) },
  { title: "Median time", number: true, cell: (row) => seconds(row.median_seconds) },
  { title: "Gold right", number: true, cell: gold },
  { title: "Agrees with others", number: true, cell: (row) => (row.agreement === null ? "–" : share(row.agreement)) },
  { title: "Map correlation", number: true, cell: (row) => number(row.map_agreement) },
  { title: "Sure", number: true, cell: (row) => number(row.confidence, 1) },
  { title: "Last", cell: (row) => when(row.last) },
];
const ARM = [
  { title: "Help", cell: (row) => row.arm },
  { title: "Answered", number: true, cell: (row) => String(row.answered) },
  { title: "Gold right", number: true, cell: gold },
  { title: "Median time", number: true, cell: (row) => seconds(row.median_seconds) },
];
const IMAGE = [
  { title: "Image", cell: (row) => (row.gold ? `${row.id} (gold)` : row.id) },
  { title: "Answers", number: true, cell: (row) => String(row.count) },
  { title: "Skipped", number: true, cell: (row) => String(row.skipped) },
  { title: "What was said", cell: (row) => Object.entries(row.answers).map(([answer, count]) => `${answer} × ${count}`).join(", ") || "–" },
];

