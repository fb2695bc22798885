/** Opens the project and shows the page that the URL names. */

import { keptToken, post, useToken, whenTokenWanted } from "./api.js";
import { onSaving, turnAndSay } from "./decisions.js";
import { count, counted, isWriting, make } from "./elements.js";
import { showHelp } from "./help.js";
import { askForToken } from "./login.js";
import { address, go, onMove, takeToken, where } from "./state.js";
import { store } from "./store.js";
import { say, tell, trying } from "./told.js";

/** name -> [title, key after g, its module, which is loaded when it is needed, and the function in it that shows it]. */
const VIEWS = {
  browse: ["Browse", "b", () => import("./browse.js"), "browse"],
  review: ["Review", "r", () => import("./review.js"), "review"],
  label: ["Label", "l", () => import("./label.js"), "label"],
  model: ["Model", "m", () => import("./model.js"), "model"],
  map: ["Map", "p", () => import("./map.js"), "map"],
  train: ["Train", "t", () => import("./runs.js"), "runs"],
  try: ["Try", "y", () => import("./try.js"), "tryOut"],
};
const CHORD_MS = 1200,
  BUSY = 503,
  AGAIN_MS = 500;
let shown = null,
  leaving = new AbortController(),
  chord = 0;

const byId = (id) => document.getElementById(id);

function navigate() {
  const { view } = where();
  if (!(view in VIEWS)) {
    go("browse", {}, { replace: true });
    return;
  }
  if (view === shown) return;
  leaving.abort();
  leaving = new AbortController();
  shown = view;
  const [title, , load, show] = VIEWS[view];
  document.title = `${title} · ${store.project.name} · headstart studio`;
  for (const link of byId("views").children) {
    if (link.dataset.view === view) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else link.removeAttribute("aria-current");
  }
  const place = byId("view");
  place.className = view;
  place.replaceChildren(make("p", { class: "quiet loading", text: "Loading …" }));
  const { signal } = leaving;
  trying(async () => (await load())[show](place, signal));
}

function drawHeader() {
  byId("project").textContent = store.project.name;
  byId("views").replaceChildren(
    ...Object.entries(VIEWS).map(([view, [title]]) =>
      make("a", { href: address(view), text: title, data: { view }, on: { click: (event) => follow(event, view) } }),
    ),
  );
  drawScan();
}

/** A plain click goes through the state, so that the page need not be loaded anew; others are the browser's. */
function follow(event, view) {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  go(view);
  byId("view").focus({ preventScroll: true });
}

function drawScan() {
  const { scanning, n_read: read, n_images: all, problem, notes } = store.project;
  for (const note of notes) tell({ message: `${note}.` });
  byId("scan").textContent = problem ?? (scanning ? `reading: ${count(read)} of ${count(all)}` : "");
}

function drawSaving(waiting) {
  byId("saving").textContent = waiting > 1 ? `${counted(waiting, "decision")} not saved yet` : "";
}

async function writeTables() {
  const { labels, exclude } = await post("api/export");
  say(`Written: ${labels} and ${exclude}.`);
}

/** g and a letter go to a page. Heard before anybody else, as the letter may be a class's. */
function goKeys(event) {
  if (isWriting(event) || document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
  const started = chord && event.timeStamp - chord < CHORD_MS;
  chord = event.key === "g" ? event.timeStamp : 0;
  const found = started && Object.entries(VIEWS).find(([, [, letter]]) => letter === event.key);
  if (!found) return;
  event.preventDefault();
  event.stopImmediatePropagation();
  go(found[0]);
}

function keys(event) {
  if (isWriting(event) || document.querySelector("dialog[open]")) return;
  const turning = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
  if (turning) {
    event.preventDefault();
    turnAndSay(event.shiftKey ? "redo" : "undo");
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "?") showHelp();
  else if (event.key === "u") turnAndSay("undo");
  else if (event.key === "U") turnAndSay("redo");
}

/** Opens the project as soon as its images are listed. */
async function openStore() {
  for (;;) {
    try {
      await store.open();
      return;
    } catch (error) {
      if (error.status !== BUSY) throw error;
      byId("view").replaceChildren(make("p", { class: "quiet loading", text: `${error.message} …` }));
      await new Promise((next) => setTimeout(next, AGAIN_MS));
    }
  }
}

async function open() {
  whenTokenWanted(askForToken);
  const token = takeToken() ?? keptToken();
  if (token !== null) await trying(() => useToken(token));
  VIEWS[where().view]?.[2]().catch(() => {}); // meanwhile; if it does not come, that is told when it is needed
  await openStore();
  drawHeader();
  onMove(navigate);
  onSaving(drawSaving);
  store.on("scan", drawScan);
  byId("undo").addEventListener("click", () => turnAndSay("undo"));
  byId("redo").addEventListener("click", () => turnAndSay("redo"));
  byId("export").addEventListener("click", () => trying(writeTables));
  byId("help").addEventListener("click", showHelp);
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault();
    byId("view").focus();
  });
  document.addEventListener("keydown", goKeys, { capture: true });
  document.addEventListener("keydown", keys);
  navigate();
}

trying(open);
