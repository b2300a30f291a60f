/** From the link to the last image: who it is, instructions and consent, one task after the other. */

import { ApiError, Offline, call } from "./api.js";
import { adopt, get, put } from "./db.js";
import { $, paragraphs, say, view } from "./dom.js";
import { listEarlier } from "./earlier.js";
import { showKeys, startHelp } from "./help.js";
import { forget, lastStudy, recall, remember, settle } from "./here.js";
import { startOutbox } from "./outbox.js";
import { LETTERS } from "./modes.js";
import { Queue } from "./queue.js";
import { Tasks } from "./tasks.js";
import { Work } from "./work.js";

const TOKEN = "token";
const INVITE = "invite"; // the link by which several people join, each under a name
const OLD = "salign.token"; // where a page of before studies had names kept it
const queue = new Queue();
let study, session, tasks, work;
let open = false; // anybody may join by name
let invite = null; // whoever has this may join by name
let retrying = 0;
let moved = false; // another study is at this address now
/** Where in the trail the annotator has gone back to; null at the newest. @type {number | null} */
let gone = null;

/** The token of the link, which then leaves the address bar; else that of the last visit to this study. */
async function token(online) {
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given && (online || given === recall(TOKEN))) {
    remember(TOKEN, given);
    history.replaceState(null, "", location.pathname);
  }
  const old = recall(TOKEN) ?? localStorage.getItem(OLD);
  if (!online || !old || old !== localStorage.getItem(OLD)) return given ?? recall(TOKEN);
  const known = await call("/api/study", { token: old }).then(() => true, () => false);
  if (!known) return recall(TOKEN);
  remember(TOKEN, old);
  await adopt(old).catch(() => {});
  localStorage.removeItem(OLD);
  return old;
}

/** The invite of the link, which then leaves the address bar; else that of the last visit to this study. */
function invitation() {
  const given = new URLSearchParams(location.hash.slice(1)).get(INVITE);
  if (!given) return recall(INVITE);
  remember(INVITE, given);
  history.replaceState(null, "", location.pathname);
  return given;
}

async function start() {
  startHelp();
  const told = await call("/api/session").catch(() => null);
  if (!told && !lastStudy()) return refuse("The server cannot be reached.");
  settle(told?.study ?? lastStudy());
  open = told?.open ?? false;
  addEventListener("elsewhere", elsewhere);
  invite = invitation();
  const known = await token(told !== null);
  startOutbox(queue);
  await queue.start();
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("/worker.js").catch(() => {});
  for (const button of document.querySelectorAll("[data-leaves]")) {
    button.hidden = !open && !invite;
    button.onclick = () => (forget(TOKEN), location.reload());
  }
  if (known) await enter(known);
  else if (open || invite) askName();
  else refuse("This page opens with a personal link. Ask whoever runs the study for yours.");
}

/** The server answers for another study than this page shows. */
function elsewhere() {
  if (moved) return;
  moved = true;
  if (tasks) rest();
  else location.reload();
}

function refuse(text) {
  view("pause");
  $("pause-title").textContent = "No way in";
  $("pause-text").textContent = text;
  $("again").onclick = () => location.reload();
  $("again").textContent = "Try again";
}

function askName(note = "") {
  view("join");
  if (invite) $("join-text").textContent = "Your answers are stored under this name, and this browser remembers it.";
  if (note) say(note, "assertive");
  $("join-form").onsubmit = async (event) => {
    event.preventDefault();
    try {
      const joined = await call("/api/join", { method: "POST", body: { name: $("name").value.trim() }, token: invite });
      remember(TOKEN, joined.token);
      await enter(joined.token);
    } catch (error) {
      say(error.message, "assertive");
    }
  };
  $("name").focus();
}

/** @param {string} key the annotator's token */
async function enter(key) {
  const place = `study/${key}`;
  try {
    study = await call("/api/study", { token: key });
    await put("kv", study, place);
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) {
      forget(TOKEN);
      return open || invite ? askName("That link is no longer valid.") : refuse("Your link is no longer valid. Ask for a new one; what you have not sent yet stays in this browser.");
    }
    study = await get("kv", place);
    if (!study) return refuse(error.message);
  }
  session = queue.session = { who: study.annotator.id, token: key };
  queue.retry(); // what waited for a valid link goes with this one
  document.title = study.title;
  $("title").textContent = study.title;
  $("version").textContent = `salign ${study.version}`;
  $("help-instructions").replaceChildren(...paragraphs(study.instructions));
  showKeys(study);
  return welcome();
}

async function welcome() {
  const agreed = `agreed/${session.who}`;
  $("welcome-title").textContent = study.title;
  $("hello").textContent = $("help-hello").textContent = `You are ${study.annotator.name}.`;
  $("instructions").replaceChildren(...paragraphs(study.instructions));
  $("consent").replaceChildren(...paragraphs(study.consent));
  $("consent-box").hidden = $("agree").disabled = !study.consent;
  if ((await get("kv", agreed)) === study.consent && (study.consented || !study.consent)) return begin();
  if (!study.consent && !study.instructions.trim()) return begin(); // nothing to read, nothing to choose
  view("welcome");
  $("welcome-title").focus();
  $("welcome-form").onsubmit = async (event) => {
    event.preventDefault();
    try {
      if (study.consent) await call("/api/join", { method: "POST", body: { name: study.annotator.name, consent: true }, token: session.token });
    } catch (error) {
      return say(error.message, "assertive");
    }
    await put("kv", study.consent, agreed);
    await put("kv", { ...study, consented: true }, `study/${session.token}`);
    return begin();
  };
  return undefined;
}

async function begin() {
  tasks = new Tasks(session.who, session.token, queue);
  work = new Work(study, session, queue, { done, back: () => goTo((gone ?? tasks.trail.length) - 1), prefetch, broken });
  Object.assign(globalThis, { salign: { work, tasks, queue } }); // to look inside from the console
  for (const id of ["progress", "status", "earlier-open"]) $(id).hidden = false;
  $("earlier-open").onclick = () => listEarlier(study, session, tasks, queue, goTo);
  $("return").onclick = () => showCurrent();
  $("again").onclick = () => (moved ? location.reload() : more());
  queue.addEventListener("change", progress);
  queue.addEventListener("saved", (event) => acknowledged(event.detail));
  queue.addEventListener("conflict", (event) => say(`${event.detail.error.message} Both are kept.`, "assertive"));
  queue.addEventListener("unkept", () => say("This browser cannot keep your work: leave this page open until all is saved.", "assertive"));
  queue.addEventListener("locked", ({ detail }) => say(detail.entry.who === session.who ? "Your link is no longer valid. What you have not sent yet stays in this browser." : "Saves of somebody else wait in this browser for a valid link.", "assertive"));
  queue.addEventListener("trouble", (event) => say(event.detail.error.message, "assertive"));
  addEventListener("online", () => tasks.held.length < 2 && more());
  addEventListener("offline", () => say("No network. You can go on: your work is kept in this browser."));
  try {
    await tasks.start();
  } catch (error) {
    return refuse(error.message);
  }
  return showCurrent();
}

async function showCurrent() {
  gone = null;
  $("returning").hidden = true;
  progress();
  if (moved || !tasks.current) return rest();
  return show(tasks.current);
}

/** @param {import("./tasks.js").Task} task */
function show(task) {
  $("sent-back").hidden = !task.comment;
  $("sent-back-text").textContent = task.comment ?? "";
  view("work");
  return work.open(task);
}

const REST = {
  moved: ["Another study is here now", "The server at this address has changed to another study. What you did for this one stays in this browser, and is sent when this study is back."],
  lost: ["No network", "The next images come when the network is back. Your work is kept in this browser and sent then; you can also close this page and come back."],
  sending: ["A moment", "Your last answers are on their way."],
  finished: ["All done. Thank you!", "There are no more images for you. Your answers are stored."],
  none: ["Nothing for you just now", "Others are at work on what is left. Look again later."],
};

/** Nothing at hand: finished, or no network. */
async function rest() {
  await work.leave();
  view("pause");
  const state = moved ? "moved" : tasks.offline ? "lost" : queue.waiting ? "sending" : tasks.finished ? "finished" : "none";
  const [title, text] = REST[state];
  $("pause-title").textContent = title;
  $("pause-text").textContent = queue.trouble || text;
  $("again").textContent = moved ? "Go to it" : tasks.offline ? "Try again" : "Look for more";
  $("pause-title").focus(); // screen readers go on there
  progress();
  clearTimeout(retrying);
  if (state === "lost") retrying = setTimeout(() => document.body.dataset.view === "pause" && more(), 15_000);
}

/** The image of a task cannot be shown: on to the next one. */
async function broken(task) {
  say("That image cannot be shown. Whoever runs the study is told; here is the next one.", "assertive");
  if (gone === null) {
    await tasks.drop(task);
    if (!tasks.current) await tasks.refill();
  }
  return showCurrent();
}

async function more() {
  await tasks.refill();
  if (document.body.dataset.view === "pause") await showCurrent();
  else await prefetch();
}

/** Have the next task at hand, with its pictures fetched and decoded; forget those of long ago. */
async function prefetch() {
  if (tasks.held.length < 2) await tasks.refill().catch(() => {});
  if (tasks.next) work.prepare(tasks.next);
  work.shower.keep([...tasks.held, ...tasks.seen.values(), work.task].filter(Boolean));
}

async function done(task) {
  tasks.answered(task);
  if (gone !== null) say("Saved.");
  if (!tasks.current) await tasks.refill();
  await showCurrent(); // once it is painted, `prefetch` sees to the one after
}

function acknowledged({ entry, reply }) {
  if (!tasks.held.length && !queue.waiting) more();
  if (!reply.feedback || entry.who !== session.who) return;
  const { correct, text } = reply.feedback;
  const pair = entry.body.side === null ? null : LETTERS[correct ? entry.body.side : 1 - entry.body.side];
  $("feedback-title").textContent = correct ? "The one before: right" : "The one before: not quite";
  $("feedback-text").replaceChildren(...paragraphs(pair ? `It was image ${pair}.` : text));
  work.clock?.pause();
  $("feedback").onclose = () => work.active && (work.clock.go(), work.focus());
  $("feedback").showModal();
}

/** @param {number} place in the trail */
async function goTo(place) {
  if (place < 0) return say("There is nothing before this one.");
  const id = tasks.trail[place];
  try {
    const task = await tasks.earlier(id);
    gone = place;
    $("returning").hidden = false;
    $("returning-text").textContent = `Image ${place + 1} of those you have done.`;
    return await show(task);
  } catch (error) {
    return say(error instanceof Offline ? "That one cannot be fetched without a network." : error.message, "assertive");
  }
}

function progress() {
  const { done: count, total } = tasks.progress;
  $("progress-bar").max = Math.max(1, total);
  $("progress-bar").value = count;
  $("progress-text").textContent = `${count} of ${total}`;
  $("back").disabled = (gone ?? tasks.trail.length) < 1;
}

start().catch((error) => refuse(error.message));
