/** Opens the page without a network: files of the page come from the server if it answers, else from the last visit. */

const CACHE = "salign-page-5";
const FILES = [
  "api.js", "app.js", "canvas/edit.js", "canvas/grid.js", "canvas/paint.js", "canvas/pointer.js", "canvas/reveal.js", "canvas/segmenter.js", "canvas/select.js",
  "canvas/smart.js", "canvas/stage.js", "canvas/superpixels.js", "canvas/toolbox.js",
  "canvas/tools.js", "canvas/trace.js", "canvas/view.js", "clock.js", "db.js", "dom.js", "draft.js", "earlier.js", "help.js",
  "here.js", "history.js", "icon.svg", "keyboard.js", "looking.js", "modes.js", "outbox.js",
  "panel.js", "pictures.js", "queue.js", "shower.js", "simplify.js", "skip.js", "style.css", "tasks.js", "work.js",
];
const PAGE = ["/", ...FILES.map((name) => `/static/${name}`)];
const PATIENCE = 4000; // ms

self.addEventListener("install", (event) => {
  event.waitUntil(caches.open(CACHE).then((cache) => cache.addAll(PAGE)).then(() => self.skipWaiting()));
});

self.addEventListener("activate", (event) => {
  const old = (names) => Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
  event.waitUntil(caches.keys().then(old).then(() => self.clients.claim()));
});

self.addEventListener("fetch", (event) => {
  const { pathname, origin } = new URL(event.request.url);
  if (event.request.method === "GET" && origin === location.origin && PAGE.includes(pathname)) event.respondWith(fresh(pathname));
});

async function fresh(pathname) {
  const cache = await caches.open(CACHE);
  try {
    const reply = await fetch(pathname, { cache: "no-cache", signal: AbortSignal.timeout(PATIENCE) });
    if (reply.ok) await cache.put(pathname, reply.clone());
    return reply;
  } catch (error) {
    const kept = await cache.match(pathname);
    if (kept) return kept;
    throw error;
  }
}
