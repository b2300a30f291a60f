/** What single, pair, review, assisted and reveal differ in: what is asked, what is missing, what is sent. */

import { $, choices, choose, isUnfolded, make, unfold } from "./dom.js";

export const LETTERS = ["A", "B"];
const VERDICTS = [
  { value: "accept", text: "Accept", key: "A" },
  { value: "edit", text: "Edit", key: "E" },
  { value: "reject", text: "Reject", key: "R" },
];
const MACHINE = "model:"; // how the provenance of a machine's map begins
const PERSON = "human:"; // and that of a person's
const NAMELESS = ["saliency", "mask", "unknown", "human:unknown"]; // what stands there where nobody says whose it is
const SURENESS = ["1", "2", "3", "4", "5"].map((value) => ({ value, text: value }));

/** @typedef {{answer: string | null, side: number | null, confidence: number | null, review: string | null, draft: number | null}} Head */

/** Nothing answered yet, or what was saved. @param {object | null} saved */
export function head(saved) {
  const { answer = null, side = null, confidence = null, review = null, draft = null } = saved ?? {};
  return { answer, side, confidence, review, draft };
}

/** The answers on offer: classes, or in a pair the images. */
export function answers(study) {
  if (study.mode === "pair") return LETTERS.map((letter, i) => ({ value: String(i), text: `Image ${letter}`, key: String(i + 1) }));
  return study.classes.map((name, i) => ({ value: name, text: name, key: i < 9 ? String(i + 1) : undefined }));
}

/** What was said, in a word: the class, the image of a pair, or the verdict of a review. @param {{answer, side, review}} saved */
export function said(study, { answer = null, side = null, review = null }) {
  const [choices, chosen] = study.mode === "review" ? [VERDICTS, review] : [answers(study), study.mode === "pair" ? String(side) : answer];
  return choices.find(({ value }) => value === chosen)?.text ?? null;
}

/** Whether maps of somebody else are shown. */
const hasMaps = ({ mode }) => mode === "review" || mode === "assisted";

/** Whether no mark can be taken back: what was seen once was seen. */
export const keepsAll = ({ mode }) => mode === "reveal";

/** Build the panel once for a study. @param {{answer, sure, verdict, draft}} act what the choices do */
export function build(study, act) {
  $("question").textContent = study.question;
  choices($("classes"), "answer", answers(study), act.answer);
  choices($("sureness"), "sure", SURENESS, act.sure);
  choices($("verdicts"), "verdict", VERDICTS, act.verdict);
  $("answer").hidden = answers(study).length === 0;
  $("answer-title").classList.toggle("unseen", study.mode !== "review");
  $("answer-title").textContent = study.mode === "review" ? "Class (optional)" : "Your answer";
  $("confidence").hidden = !study.confidence;
  $("review").hidden = study.mode !== "review";
  $("heat-row").hidden = !hasMaps(study);
  for (const id of ["tool-buttons", "undo", "redo"]) $(id).hidden = keepsAll(study);
  $("fold").dataset.act = keepsAll(study) ? "Look" : "Draw";
  $("draft").onchange = () => act.draft(Number($("draft").value));
}

/** Whether the panel says something of this image that should be read before it is marked. */
export const toRead = (study, task) =>
  Boolean(task.comment) || study.mode === "review" || (study.mode === "assisted" && task.decision !== null);

/** Show what is answered so far. @param {Head} head */
export function show(study, task, head, blank) {
  $("fold").dataset.answer = said(study, head) ?? "Answer";
  unfold(isUnfolded());
  choose($("classes"), study.mode === "pair" ? head.side : head.answer);
  choose($("sureness"), head.confidence);
  choose($("verdicts"), head.review);
  $("blank").setAttribute("aria-pressed", String(blank));
  $("marking").hidden = keepsAll(study) || study.mode === "review" && head.review !== "edit" && head.review !== "reject";
  $("marking-title").textContent = study.require_map ? "Mark what supports it" : "Mark what supports it, if you can";
  showDrafts(study, task, head);
  $("decision").hidden = !(task.decision && study.mode === "assisted");
  $("decision").replaceChildren("The computer says: ", make("strong", { textContent: task.decision ?? "" }));
}

function showDrafts(study, task, head) {
  if (study.mode !== "review") return;
  const draft = task.drafts[head.draft ?? 0];
  $("review").hidden = !draft;
  if (!draft) return;
  const said = draft.answer === null || draft.answer === undefined ? "" : `: ${draft.answer}`;
  const nothing = !draft.map && !draft.shapes.length ? " (nothing marked)" : "";
  const machine = draft.from.startsWith(MACHINE);
  const person = NAMELESS.includes(draft.from) ? "Map" : `Map of ${draft.from.replace(PERSON, "")}`;
  $("review-title").textContent = `${machine ? "Map of a machine" : person}${said}${nothing}`;
  $("review-title").title = machine ? draft.from.slice(MACHINE.length) : "";
  $("draft-row").hidden = task.drafts.length < 2;
  $("draft").replaceChildren(...task.drafts.map((one, i) => make("option", { value: i, textContent: one.from })));
  $("draft").value = String(head.draft ?? 0);
}

/** Which other map is to be shown over the image: the draft under review, or the model's. */
export function overlaid(study, task, head) {
  if (!hasMaps(study)) return null;
  const draft = task.drafts[head.draft ?? 0] ?? null;
  return study.mode === "review" && head.review === "edit" && draft?.shapes.length ? null : draft; // shapes are marks now
}

/** What is still missing, most important first. @returns {{where: string, text: string}[]} */
export function missing(study, task, head, state) {
  const found = [];
  const reviewed = study.mode === "review" && task.drafts.length > 0;
  if (reviewed && !head.review) found.push({ where: "verdicts", text: "Accept, edit or reject the map first." });
  const optional = study.mode === "review"; // the verdict is the answer
  if (study.mode === "pair" ? head.side === null : answers(study).length > 0 && head.answer === null && !optional) {
    found.push({ where: "classes", text: "Choose an answer first." });
  }
  const judged = reviewed && (head.review === "accept" || head.review === "reject"); // marks of one's own are optional
  const marked = state.blank || state.shapes.some((shape) => !shape.erase);
  if (study.require_map && !judged && !marked) {
    if (keepsAll(study)) return [{ where: "stages", text: "Click where you want to look closely first." }, ...found];
    found.push({ where: "blank", text: "Mark what supports your answer, or say that there is nothing to mark." });
  }
  if (study.confidence && head.confidence === null) found.push({ where: "sureness", text: "Say how sure you are." });
  return found;
}

/** The annotation as the server takes it. */
export function body(study, task, head, state, about) {
  const draft = study.mode === "review" && head.review ? (head.draft ?? 0) : null;
  const taken = head.review === "accept" ? task.drafts[draft] : null;
  const shapes = taken ? taken.shapes : state.shapes;
  return {
    task: task.id,
    answer: head.answer,
    side: study.mode === "pair" ? head.side : null,
    shapes,
    sizes: task.images.map(({ height, width }) => [height, width]),
    blank: taken ? !shapes.length && !taken.map : state.blank,
    confidence: head.confidence,
    review: study.mode === "review" ? head.review : null,
    draft,
    base: task.revision,
    version: study.version,
    ...about,
  };
}
