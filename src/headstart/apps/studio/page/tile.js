/** One image in the grid or in a strip: its picture, its label, what the model says, what was found. */

import { thumbnail } from "./api.js";
import { make, percent } from "./elements.js";
import { reasonFor } from "./pictures.js";
import { NONE, store } from "./store.js";

const LARGE_PX = 170;

/** The last part of a path. */
export const baseName = (path) => path.slice(path.lastIndexOf("/") + 1);

/** A tile that is used again for one row after another, as the grid scrolls. */
export class Tile {
  row = null;
  index = -1;

  constructor() {
    this.picture = make("img", { alt: "", decoding: "async", draggable: "false" });
    this.missing = make("span", { class: "missing" });
    this.label = make("span", { class: "label" });
    this.other = make("span", { class: "other" });
    this.badge = make("span", { class: "badge" });
    this.element = make(
      "div",
      { class: "tile", role: "option" },
      make("span", { class: "frame" }, this.picture, this.missing, this.badge),
      make("span", { class: "caption" }, this.label, this.other),
    );
    this.picture.addEventListener("load", () => this.element.classList.add("loaded"));
    this.picture.addEventListener("error", () => this.#explain());
  }

  /** Shows another row; the picture comes when its digest is known. */
  show(row, index) {
    if (this.row !== row) this.stop();
    this.row = row;
    this.index = index;
    this.describe();
  }

  /** Stops what is being loaded: the image was scrolled past. */
  stop() {
    this.row = null;
    this.digest = null;
    this.path = "";
    this.picture.removeAttribute("src");
    this.element.classList.remove("loaded", "gone");
    this.missing.textContent = "";
  }

  load(fact, sidePx) {
    if (!fact || fact.row !== this.row) return;
    this.path = fact.path;
    this.element.title = fact.path;
    const digest = fact.digest ?? "";
    if (digest === this.digest) return;
    this.digest = digest;
    this.describe();
    if (digest) this.picture.src = thumbnail(digest, sidePx * devicePixelRatio > LARGE_PX ? 320 : 160);
    else this.#say("not readable");
  }

  /** The texts, from the columns as they are now. */
  describe() {
    const { row } = this;
    const label = store.value("label", row),
      predicted = store.value("predicted", row) ?? NONE;
    const excluded = store.value("excluded", row) === 1;
    const differs = predicted !== NONE && predicted !== label;
    const found = store.findings(row);
    this.label.textContent = excluded ? "excluded" : store.className(label);
    this.other.textContent = differs ? `model: ${store.className(predicted)}` : "";
    this.badge.textContent = found.length ? "!" : "";
    this.badge.title = found.map((check) => check.title).join(", ");
    this.element.classList.toggle("excluded", excluded);
    this.element.classList.toggle("unlabelled", label === NONE);
    this.element.classList.toggle("decided", store.value("decided", row) === 1);
    this.element.setAttribute("aria-label", sentence(row, this.path));
  }

  #say(text) {
    this.missing.textContent = text;
    this.element.classList.add("gone");
  }

  /** Says why there is no picture. */
  async #explain() {
    const { digest } = this;
    if (!digest) return;
    this.#say("no picture");
    const reason = await reasonFor(thumbnail(digest));
    if (this.digest !== digest) return;
    this.#say(reason);
    this.element.title = reason;
  }
}

/** A row in words, for screen readers. */
export function sentence(row, path) {
  const label = store.value("label", row),
    predicted = store.value("predicted", row) ?? NONE;
  const confidence = store.value("confidence", row);
  const parts = [path ? baseName(path) : `image ${row + 1}`, store.className(label)];
  if (predicted !== NONE && predicted !== label) {
    parts.push(`model says ${store.className(predicted)}${confidence > 0 ? `, ${percent(confidence)}` : ""}`);
  }
  if (store.value("excluded", row)) parts.push("excluded");
  for (const check of store.findings(row)) parts.push(check.title);
  return parts.join(", ");
}
