/**
 * Decisions: shown at once, sent in the background one after the other, tried again until they are on disk.
 * What the server refuses, or what another window decided differently, is taken back, told, and given back to who asked.
 */

import { postOnce, randomName } from "./api.js";
import { counted } from "./elements.js";
import { store } from "./store.js";
import { say, tell } from "./told.js";

const FIRST_PAUSE_MS = 250,
  LONGEST_PAUSE_MS = 4000,
  BUSY = 429,
  FAILED = 500,
  CONFLICT = 409;

/**
 * @typedef {object} Wish
 * @property {number[]|Uint32Array} rows
 * @property {object} [order] the filter that gives these rows, where they are too many to be listed
 * @property {number} [label] class number, -1 for none; absent: unchanged
 * @property {boolean} [excluded] absent: unchanged
 * @property {string} why
 * @property {(rows: number[]) => void} [onReturn] called with rows whose decision did not hold
 */

const waiting = []; // in order: {kind, wish, before, expected}
const done = []; // what undo takes back next is last
const undone = []; // what redo does again next is last
const events = new EventTarget();
let sending = false;

/** How many decisions are not on disk yet. */
export const unsaved = () => waiting.length;

/** Calls back whenever that number changes. */
export function onSaving(listener) {
  events.addEventListener("saving", () => listener(waiting.length));
}

/** Decides; returns at once. @param {Wish} wish */
export function decide(wish) {
  const entry = { kind: "decide", wish, before: statesOf(wish.rows), expected: store.last };
  store.set(wish.rows, wish.label, wish.excluded);
  done.push(entry);
  undone.length = 0;
  enqueue(entry, wish.rows);
}

/** Takes back this window's last decision. @returns {Promise<number[]>} its rows; none if there is nothing to take back */
export function undo() {
  return turn("undo", done, undone);
}

/** Does again what was taken back last. */
export function redo() {
  return turn("redo", undone, done);
}

function turn(kind, from, to) {
  const entry = from.pop();
  if (!entry) return new Promise((answer) => enqueue({ kind, answer }, [])); // from before a reload: the server knows it
  to.push(entry);
  const { wish, before } = entry;
  if (kind === "undo") store.set(wish.rows, before.labels, before.excluded);
  else store.set(wish.rows, wish.label, wish.excluded);
  if (kind === "undo") restoreDecided(entry);
  enqueue({ kind, entry, wish }, wish.rows);
  return Promise.resolve([...wish.rows]);
}

function restoreDecided({ wish, before }) {
  const decided = store.columns.get("decided");
  wish.rows.forEach((row, index) => {
    decided[row] = before.decided[index];
  });
}

function statesOf(rows) {
  const take = (name) => Array.from(rows, (row) => store.value(name, row));
  return { labels: take("label"), excluded: take("excluded"), decided: take("decided") };
}

function enqueue(entry, rows) {
  for (const row of rows) store.pending.set(row, (store.pending.get(row) ?? 0) + 1);
  entry.key = randomName();
  waiting.push(entry);
  events.dispatchEvent(new Event("saving"));
  work();
}

function release(rows) {
  for (const row of rows) {
    const left = store.pending.get(row) - 1;
    if (left > 0) store.pending.set(row, left);
    else store.pending.delete(row);
  }
}

async function work() {
  if (sending) return;
  sending = true;
  let pause = FIRST_PAUSE_MS,
    untell = () => {};
  while (waiting.length) {
    const entry = waiting[0];
    try {
      await deliver(entry);
      finish(entry);
    } catch (error) {
      if (isPassing(error)) {
        untell = tell(error);
        await new Promise((next) => setTimeout(next, pause));
        pause = Math.min(2 * pause, LONGEST_PAUSE_MS);
        continue;
      }
      finish(entry);
      giveBack(entry, error);
    }
    untell();
    pause = FIRST_PAUSE_MS;
  }
  sending = false;
}

/** Trouble that passes: no answer, a busy or restarted server. Anything else was an answer. */
function isPassing(error) {
  return error.status === undefined ? error.name === "Unreachable" : error.status === BUSY || error.status >= FAILED;
}

function finish(entry) {
  waiting.shift();
  release(entry.wish?.rows ?? []);
  events.dispatchEvent(new Event("saving"));
}

async function deliver(entry) {
  if (entry.kind !== "decide") {
    const { rows = [] } = await postOnce(`api/${entry.kind}`, entry.key);
    if (entry.answer) {
      await store.reread(rows);
      entry.answer(rows);
    }
    return;
  }
  const { wish, expected } = entry;
  const label = wish.label === undefined ? {} : { label: wish.label < 0 ? null : store.classes[wish.label] };
  const excluded = wish.excluded === undefined ? {} : { excluded: wish.excluded };
  const which = wish.order ? { order: wish.order, n: wish.rows.length } : { rows: Array.from(wish.rows) };
  try {
    await postOnce("api/decisions", entry.key, { ...which, ...label, ...excluded, why: wish.why, expected });
  } catch (error) {
    if (!isOwn(error, wish)) throw error;
  }
}

/** A conflict with what was wanted is none: the answer to the first try was lost, or another window decided the same. */
function isOwn(error, wish) {
  const conflicts = error.answer?.conflicts ?? [];
  const same = ({ label, excluded }) =>
    (wish.label === undefined || wish.label === label) && (wish.excluded === undefined || wish.excluded === Boolean(excluded));
  return error.status === CONFLICT && conflicts.length > 0 && conflicts.length === wish.rows.length && conflicts.every(same);
}

/** Takes back on the page what did not hold, and says why. */
function giveBack(entry, error) {
  const rows = Array.from(entry.wish?.rows ?? []);
  drop(done, entry.entry ?? entry);
  drop(undone, entry.entry ?? entry);
  if (entry.kind === "decide") {
    const still = rows.map((row, index) => [row, index]).filter(([row]) => !store.pending.has(row));
    const pick = (values) => still.map(([, index]) => values[index]);
    store.set(
      still.map(([row]) => row),
      pick(entry.before.labels),
      pick(entry.before.excluded),
    );
    restoreDecided({ wish: { rows: still.map(([row]) => row) }, before: { decided: pick(entry.before.decided) } });
  }
  tell(error);
  store.reread(rows).catch(tell);
  entry.answer?.([]);
  entry.wish?.onReturn?.(rows);
}

function drop(list, entry) {
  const place = list.indexOf(entry);
  if (place >= 0) list.splice(place, 1);
}

store.overlay = () => {
  for (const { kind, wish, entry } of waiting) {
    if (kind === "undo" && entry) store.set(wish.rows, entry.before.labels, entry.before.excluded);
    else if (wish) store.set(wish.rows, wish.label, wish.excluded);
  }
};

window.addEventListener("beforeunload", (event) => {
  if (waiting.length) event.preventDefault();
});

/** Undo or redo from a button or a key: says what came of it. */
export async function turnAndSay(kind) {
  const rows = await (kind === "undo" ? undo() : redo());
  const verb = kind === "undo" ? "Taken back" : "Done again";
  say(rows.length ? `${verb}: ${counted(rows.length, "image")}.` : `Nothing to ${kind} in this window.`);
  return rows;
}
