/** The page: takes images, shows answers. */

import { openCamera } from "./camera.js";
import { Classifier } from "./classifier.js";
import { Refusal } from "./refusal.js";
import { answerCard, element, failureCard } from "./cards.js";

const at = (id) => document.getElementById(id);
const IDLE_MS = 500;
const say = (text) => { at("status").textContent = text; };
let classifier;
let queue = Promise.resolve();

/** Answers files one after the other; the newest answer is on top. */
function take(files) {
  for (const file of files) queue = queue.then(() => answer(file));
}

async function answer(file) {
  const name = file.name || "pasted image";
  say(`Looking at ${name} …`);
  await new Promise((next) => { setTimeout(next); }); // so that this is seen
  try {
    const began = performance.now(), found = await classifier.answer(file);
    at("answers").prepend(answerCard(file, name, found));
    const certain = found.unsure ? `unsure, most likely ${found.predicted}` : found.words ?? found.predicted;
    say(`${name}: ${certain} (${Math.round(performance.now() - began)} ms)`);
  } catch (error) {
    const reason = error instanceof Refusal ? error.message : `this went wrong: ${error.message}`;
    at("answers").prepend(failureCard(name, reason));
    say(`${name} is not answered: ${reason}`);
  }
}

function listen() {
  at("choose").addEventListener("click", () => at("files").click());
  at("files").addEventListener("change", ({ target }) => {
    take([...target.files]);
    target.value = "";
  });
  document.addEventListener("paste", (event) => take([...event.clipboardData.files]));
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(kind, (event) => {
      event.preventDefault();
      at("drop").classList.toggle("over", kind === "dragenter" || kind === "dragover");
      if (kind === "drop") take([...event.dataTransfer.files]);
    });
  }
  if (navigator.mediaDevices?.getUserMedia) {
    at("camera").addEventListener("click", () => openCamera((file) => take([file])).catch((error) => say(cameraReason(error))));
    at("camera").disabled = false;
  } else {
    at("camera").title = "Browsers give the camera only to pages that are served over https.";
  }
  at("choose").disabled = false;
}

function cameraReason(error) {
  return error.name === "NotAllowedError" ? "The camera is not allowed for this page." : `The camera cannot be opened: ${error.message}`;
}

function introduce({ name, claim, about }) {
  document.title = at("name").textContent = name;
  at("claim").textContent = claim;
  at("facts").append(...Object.entries(about).flatMap(([what, text]) => [element("dt", what), element("dd", text)]));
  at("claim").hidden = at("about").hidden = false;
}

/** Whether what is drawn is read back unchanged: some browsers change pixels, so that pages cannot recognise their user. */
function readsPixels() {
  const context = new OffscreenCanvas(16, 16).getContext("2d", { willReadFrequently: true });
  const drawn = context.createImageData(16, 16);
  drawn.data.forEach((_, i) => { drawn.data[i] = i % 4 === 3 ? 255 : (i * 37) % 256; });
  context.putImageData(drawn, 0, 0);
  return context.getImageData(0, 0, 16, 16).data.every((level, i) => level === drawn.data[i]);
}

/** When no image has been given for a while: what follows must not make answers wait. */
async function idle() {
  for (let last; last !== queue;) {
    last = queue;
    await last;
    await new Promise((next) => { setTimeout(next, IDLE_MS); });
  }
}

async function keepForOffline() {
  const workers = navigator.serviceWorker;
  if (!workers) return;
  const offer = (worker) => {
    at("update").onclick = () => worker.postMessage("take over");
    at("newer").hidden = false;
  };
  let isAnswered = Boolean(workers.controller); // by an earlier version, or not yet
  workers.addEventListener("controllerchange", () => {
    if (isAnswered) location.reload();
    isAnswered = true;
  });
  const registration = await workers.register(new URL("sw.js", import.meta.url));
  if (registration.waiting) offer(registration.waiting);
  registration.addEventListener("updatefound", () => {
    const worker = registration.installing;
    worker.addEventListener("statechange", () => { if (worker.state === "installed" && workers.controller) offer(worker); });
  });
  await workers.ready;
  document.documentElement.dataset.offline = "ready";
}

try {
  const began = performance.now();
  classifier = await Classifier.load();
  introduce(classifier.about);
  listen();
  const honest = readsPixels() ? "" : " This browser changes the pixels that pages read: answers may differ.";
  say(`Ready after ${((performance.now() - began) / 1000).toFixed(1)} s.${honest}`);
  const none = queue;
  await idle();
  if (queue === none) queue = queue.then(() => classifier.warmUp()).catch((error) => console.warn(`not warmed up: ${error.message}`));
  await idle();
  keepForOffline().catch((error) => console.warn(`not kept for use without a network: ${error.message}`));
} catch (error) {
  say(`The model cannot be loaded: ${error.message}`);
}
