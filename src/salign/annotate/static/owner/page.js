/** The owner's page: its three parts, the figures that are asked for again and again, and the export. */

import { ApiError } from "../api.js";
import { $, make, say, view } from "../dom.js";
import { here } from "../here.js";
import { ask, fetchAll, settleOwner } from "./ask.js";
import { openGallery, startGallery } from "./gallery.js";
import { openLinks, startLinks } from "./links.js";
import { showOverview } from "./overview.js";

const EVERY = 15_000; // ms
const PATIENCE = 30 * 60_000; // an export of everything may take long
const PARTS = { overview: () => {}, gallery: () => openGallery(summary), links: () => openLinks() };

let summary = null;
let trouble = ""; // told already

async function refresh() {
  try {
    if (!here.study) await settleOwner();
    summary = await ask("summary");
    showOverview(summary);
    if ($("parts").hidden || document.body.dataset.view === "trouble") open("overview");
    $("parts").hidden = false;
    trouble = "";
  } catch (error) {
    const refused = error instanceof ApiError && (error.status === 401 || error.status === 403);
    $("trouble-text").textContent = refused ? "This page opens with the owner's link, which `salign annotate` prints when it starts." : error.message;
    if (refused || !summary) view("trouble");
    else if (error.message !== trouble) say(error.message, "assertive");
    trouble = error.message;
    $("export").disabled = refused;
    if (refused) return;
  }
  setTimeout(refresh, EVERY);
}

function open(part) {
  view(part);
  for (const button of $("parts").children) button.setAttribute("aria-pressed", String(button.dataset.part === part));
  PARTS[part]();
}

async function download() {
  const button = $("export");
  button.disabled = true;
  say("The export is being made.");
  try {
    const reply = await fetchAll("export", { method: "POST", body: {}, patience: PATIENCE });
    const name = /filename="?([^";]+)/.exec(reply.headers.get("Content-Disposition") ?? "")?.[1] ?? "annotations.zip";
    const url = URL.createObjectURL(await reply.blob());
    make("a", { href: url, download: name }).click();
    setTimeout(() => URL.revokeObjectURL(url), 60_000);
    say("The export is ready.");
  } catch (error) {
    say(error.message, "assertive");
  } finally {
    button.disabled = false;
  }
}

addEventListener("elsewhere", () => location.reload());
$("export").onclick = download;
for (const button of $("parts").children) button.onclick = () => open(button.dataset.part);
$("begin-links").onclick = () => open("links");
startGallery();
startLinks();
view("trouble");
refresh();
