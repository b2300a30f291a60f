/** Links to the study: made with a name and limits, copied, and stopped one by one. */

import { $, make, say } from "../dom.js";
import { ask, tell } from "./ask.js";
import { table } from "./chart.js";
import { duration, when } from "./format.js";

const LIMITS = ["people", "images", "days"];

export function startLinks() {
  $("invite").onsubmit = async (event) => {
    event.preventDefault();
    const limits = LIMITS.map((name) => [name, $(`invite-${name}`).value]).filter(([, value]) => value !== "");
    const name = $("invite-name").value.trim();
    await change("invites", { name, ...Object.fromEntries(limits.map(([key, value]) => [key, Number(value)])) }, `The link for ${name} is made: copy it below.`);
    $("invite-name").value = "";
  };
}

export async function openLinks() {
  try {
    show(await ask("links"));
  } catch (error) {
    say(error.message, "assertive");
  }
}

async function change(path, body, done) {
  try {
    show(await tell(path, body));
    say(done);
  } catch (error) {
    say(error.message, "assertive");
  }
}

function show({ open, invites, people }) {
  const names = new Map(invites.map((invite) => [invite.id, invite.name]));
  $("links-text").textContent = open
    ? "This server answers to this machine only, where a name is enough to join. Start it with --host or --public to send links to other people."
    : "Whoever has a link gets in by it. A link to share asks for a name; a personal link is for one person.";
  $("invites").replaceChildren(invites.length ? table(INVITE, invites) : make("p", { textContent: "None yet." }));
  $("people").replaceChildren(people.length ? table(person(names), people) : make("p", { textContent: "Nobody has joined yet." }));
}

const INVITE = [
  { title: "For", cell: (row) => row.name },
  { title: "Link", cell: (row) => copier(row.link, row.name) },
  { title: "Joined", number: true, cell: (row) => (row.people === null ? String(row.joined) : `${row.joined} of ${row.people}`) },
  { title: "Images each", number: true, cell: (row) => (row.images === null ? "all" : String(row.images)) },
  { title: "Time left", cell: (row) => (row.left === null ? "no end" : row.left > 0 ? duration(row.left) : "over") },
  { title: "State", cell: (row) => (row.closed === null ? "open" : row.closed) },
  { title: "Change", cell: (row) => stopper(row, `invites/${row.id}`) },
];
const person = (names) => [
  { title: "Name", cell: (row) => row.shown },
  { title: "Link", cell: (row) => copier(row.link, row.shown) },
  { title: "Joined", cell: (row) => when(1000 * row.created) },
  { title: "By the link for", cell: (row) => names.get(row.invite) ?? "–" },
  { title: "State", cell: (row) => (row.stopped === null ? "open" : "stopped") },
  { title: "Change", cell: (row) => stopper(row, `people/${row.id}`) },
];

function copier(link, name) {
  const url = new URL(link, location.origin).href;
  const field = make("input", { value: url, readOnly: true, "aria-label": `Link for ${name}`, onfocus: () => field.select() });
  const copy = async () => {
    field.select();
    const copied = await (navigator.clipboard?.writeText(url).then(() => true, () => false) ?? false);
    say(copied || document.execCommand("copy") ? `The link for ${name} is copied.` : "Copy the marked link.");
  };
  return make("span", { className: "copier" }, field, make("button", { type: "button", textContent: "Copy", "aria-label": `Copy the link for ${name}`, onclick: copy }));
}

function stopper(row, path) {
  const stop = row.stopped === null;
  const text = stop ? "Stop" : "Open again";
  const done = `The link for ${row.name} ${stop ? "works no more; the others do" : "works again"}.`;
  return make("button", { type: "button", textContent: text, "aria-label": `${text}: the link for ${row.name}`, onclick: () => change(path, { stopped: stop }, done) });
}
