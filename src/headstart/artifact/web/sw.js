/** Keeps all files of this folder, so that the page works without a network. The list is written when the model is exported. */

const FILES = {}; // name -> digest, as fetch checks it
const VERSION = "";
const PREFIX = `headstart ${self.registration.scope} `; // other models may be served by the same host
const CACHE = PREFIX + VERSION;

self.addEventListener("install", (event) => event.waitUntil(keepAll()));
self.addEventListener("activate", (event) => event.waitUntil(Promise.all([forgetEarlier(), self.clients.claim()])));
self.addEventListener("fetch", (event) => {
  const name = nameOf(event.request);
  if (name !== null) event.respondWith(kept(name, event.request));
});
self.addEventListener("message", ({ data }) => data === "take over" && self.skipWaiting());

async function keepAll() {
  const cache = await caches.open(CACHE);
  // One after the other: the page may be answering meanwhile.
  for (const [name, integrity] of Object.entries(FILES)) await cache.put(name, await checked(name, integrity));
}

/** A file as it was exported: a browser may hold that of an earlier export. */
async function checked(name, integrity) {
  const url = new URL(name, self.registration.scope);
  try {
    return whole(await fetch(url, { integrity }));
  } catch {
    return whole(await fetch(url, { integrity, cache: "reload" }));
  }
}

function whole(response) {
  if (!response.ok) throw new Error(`${response.url}: ${response.status}`);
  // Some hosts send index.html on to another address; a page may not be opened with such a response.
  return response.redirected ? new Response(response.body, { headers: response.headers }) : response;
}

async function forgetEarlier() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name.startsWith(PREFIX) && name !== CACHE).map((name) => caches.delete(name)));
}

/** The file of this folder that is asked for; null for anything else. */
function nameOf(request) {
  const url = new URL(request.url), scope = new URL(self.registration.scope);
  if (request.method !== "GET" || url.origin !== scope.origin || !url.pathname.startsWith(scope.pathname)) return null;
  const name = url.pathname.slice(scope.pathname.length) || "index.html";
  return name in FILES ? name : null;
}

async function kept(name, request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(new URL(name, self.registration.scope))) ?? fetch(request);
}
