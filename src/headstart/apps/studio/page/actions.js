/** What can be done with the selected images: label, exclude, take in again. */

import { classOfKey, findClass, newClass } from "./classes.js";
import { decide } from "./decisions.js";
import { button, counted, keyed, make } from "./elements.js";
import { NONE, store } from "./store.js";
import { say } from "./told.js";

const LISTED = 50000;

/**
 * The bar above the grid.
 * @param {import("./selection.js").Selection} selection
 * @param {() => Uint32Array} shown rows that match
 * @param {() => object|null} question the filter that gives them, null where the server cannot know it
 * @param {AbortSignal} signal
 */
export function actionBar(selection, shown, question, signal) {
  const bar = new ActionBar(selection, shown, question);
  selection.addEventListener("change", () => bar.draw(), { signal });
  bar.draw();
  return bar;
}

class ActionBar {
  constructor(selection, shown, question) {
    this.selection = selection;
    this.shown = shown;
    this.question = question;
    this.element = make("div", { class: "bar actions", role: "group", "aria-label": "Selected images" });
  }

  draw() {
    const { selection } = this;
    const all = this.shown().length;
    const none = selection.size === 0;
    const focused = document.activeElement?.id;
    const deciding = none
      ? []
      : [
          button("Clear", () => selection.clear(), { id: "select-none", class: "plain" }),
          keyed("/", "Label as …", () => findClass((number) => this.label(number)), { id: "label-as", class: "main" }),
          keyed("x", "Exclude", () => this.exclude(true), { id: "exclude" }),
          button("Include again", () => this.exclude(false), { id: "include" }),
          button("Remove label", () => this.label(NONE), { id: "remove-label", class: "plain" }),
        ];
    this.element.replaceChildren(
      make("span", { class: "number", text: none ? "None selected" : `${counted(selection.size, "image")} selected` }),
      button("Select all that match", () => selection.all(this.shown()), {
        id: "select-all",
        class: "plain",
        disabled: all === 0,
      }),
      ...deciding,
    );
    if (focused) this.element.querySelector(`#${CSS.escape(focused)}:enabled`)?.focus();
  }

  /** Keys that act on the selection: a class's key, x, /, c. @returns {boolean} was it one? */
  key(event) {
    if (!this.selection.size || event.ctrlKey || event.metaKey || event.altKey) return false;
    const number = classOfKey(event);
    if (number !== null) this.label(number);
    else if (event.key === "x") this.exclude(true);
    else if (event.key === "/") findClass((found) => this.label(found));
    else if (event.key === "c") newClass((made) => this.label(made));
    else return false;
    return true;
  }

  label(number) {
    const rows = this.selection.rows();
    const fresh = rows.every((row) => store.value("label", row) === NONE);
    this.#decide(rows, { label: number, why: fresh ? "label" : "relabel" });
    say(`${counted(rows.length, "image")}: ${store.className(number)}.`);
  }

  exclude(excluded) {
    const rows = this.selection.rows();
    this.#decide(rows, { excluded, why: "exclude" });
    say(`${counted(rows.length, "image")} ${excluded ? "excluded" : "included again"}.`);
  }

  #decide(rows, wish) {
    const order = this.selection.whole && rows.length > LISTED ? this.question() : null;
    decide({ rows, ...(order ? { order } : {}), ...wish });
    this.selection.clear();
  }
}
