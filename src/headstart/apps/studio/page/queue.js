/** A queue of images to decide on: always some ahead, ordered anew when the model is, never under the user's hands. */

import { read } from "./api.js";
import { unsaved } from "./decisions.js";
import { prepare } from "./pictures.js";
import { NONE, store } from "./store.js";

const AHEAD = 5,
  BATCH = 20,
  LOW = 10,
  STEADY = 3,
  WHOLE = 2;

/** @typedef {{row: number, other: ?number, suggestion: ?number, sentence: string, for: number[], against: number[]}} Item */

export class Queue {
  /** The first is the one that is shown. @type {Item[]} */
  items = [];
  /** Items that were left in this window, by row: their decisions may not be on disk yet. */
  left = new Map();
  #filling = null;
  #again = false;

  constructor(name) {
    this.name = name;
  }

  get current() {
    return this.items[0] ?? null;
  }

  /** Brings in more, best first. `anew`: the order of those that are not about to be shown has changed. */
  fill(anew = false) {
    this.#again ||= anew && this.#filling !== null;
    this.#filling ??= this.#read(anew).finally(() => {
      this.#filling = null;
      if (this.#again) {
        this.#again = false;
        this.fill(true);
      }
    });
    return this.#filling;
  }

  async #read(anew) {
    const found = await read(`api/queues/${this.name}?n=${BATCH + Math.min(unsaved(), BATCH)}`);
    const kept = anew ? this.items.slice(0, STEADY) : this.items;
    const known = new Set(kept.map((item) => item.row));
    this.items = [...kept, ...found.filter((item) => !known.has(item.row) && !this.left.has(item.row))];
    await this.#prepare();
  }

  /** The one in front first; the others need not be waited for. */
  async #prepare() {
    const [first, ...next] = this.items.slice(0, AHEAD);
    if (first) await prepare(first);
    Promise.all(next.map((item, place) => prepare(item, place < WHOLE))).catch(() => {}); // told when they are shown
  }

  /** Leaves the current item. @returns {Item|null} the next */
  advance() {
    const item = this.items.shift();
    if (item) this.left.set(item.row, item);
    if (this.items.length < LOW) this.fill().catch(() => {}); // tried again at the next step; an empty queue asks and tells
    this.#prepare().catch(() => {});
    return this.current;
  }

  /** Brings an item back: to be shown now, or next where another is under the user's hands. */
  bringBack(row, now) {
    const item = this.left.get(row) ?? plainItem(row);
    this.left.delete(row);
    this.items = this.items.filter((one) => one.row !== row);
    this.items.splice(now ? 0 : 1, 0, item);
    return prepare(item);
  }
}

/** An item for an image that is not in the queue any more, such as one that was undone after a reload. */
function plainItem(row) {
  const predicted = store.value("predicted", row);
  const suggestion = predicted === undefined || predicted === NONE ? null : predicted;
  const sentence = suggestion === null ? "" : `The model says ${store.className(suggestion)}.`;
  return { row, other: null, suggestion, sentence, for: [], against: [] };
}
