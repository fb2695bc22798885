/** Which rows are selected: one byte a row, so that a million cost a megabyte. */

import { store } from "./store.js";

export class Selection extends EventTarget {
  #marks = new Uint8Array(0);
  size = 0;
  /** Are they all that matched when they were selected? Then the filter names them. */
  whole = false;

  has(row) {
    return this.#marks[row] === 1;
  }

  /** Selects or deselects rows. */
  set(rows, on) {
    this.#grow();
    for (const row of rows) {
      if (this.#marks[row] === Number(on)) continue;
      this.#marks[row] = Number(on);
      this.size += on ? 1 : -1;
    }
    this.whole = false;
    this.#changed();
  }

  /** Selects these and nothing else. */
  only(rows) {
    this.#marks = new Uint8Array(store.n);
    this.size = 0;
    this.set(rows, true);
  }

  all(rows) {
    this.only(rows);
    this.whole = true;
    this.#changed();
  }

  clear() {
    if (this.size) this.only([]);
  }

  /** Selected rows in the order of their numbers. @returns {Uint32Array} */
  rows() {
    const rows = new Uint32Array(this.size);
    let place = 0;
    for (let row = 0; place < rows.length; row += 1)
      if (this.#marks[row]) {
        rows[place] = row;
        place += 1;
      }
    return rows;
  }

  #grow() {
    if (this.#marks.length >= store.n) return;
    const marks = new Uint8Array(store.n);
    marks.set(this.#marks);
    this.#marks = marks;
  }

  #changed() {
    this.dispatchEvent(new Event("change"));
  }
}
