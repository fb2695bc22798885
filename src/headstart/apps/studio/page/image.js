/** One image, opened over the grid: large, with what is known of it, its likes, and all that can be decided. */

import { picture, read } from "./api.js";
import { classButtons, classOfKey, findClass, newClass } from "./classes.js";
import { decide, turnAndSay } from "./decisions.js";
import { button, isWriting, keyed, make, percent } from "./elements.js";
import { explainButton } from "./explain.js";
import { facts } from "./facts.js";
import { orReason } from "./pictures.js";
import { adjust, go, where } from "./state.js";
import { NONE, store } from "./store.js";
import { strip } from "./strip.js";
import { baseName, sentence } from "./tile.js";
import { say, trying } from "./told.js";

const LIKE = 12;

export class ImageDialog {
  row = null;

  /**
   * @param {() => Uint32Array} order rows that arrow keys step through
   * @param {(index: number) => void} moved
   */
  constructor(order, moved, signal) {
    this.order = order;
    this.moved = moved;
    this.element = make("dialog", { class: "image", "aria-labelledby": "image-name" });
    document.body.append(this.element);
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("close", () => {
      if (this.row !== null) this.close();
    });
    signal.addEventListener("abort", () => {
      this.row = null;
      this.element.remove();
    });
    store.on(
      "labels classes",
      () => {
        if (this.element.open) this.#describe();
      },
      signal,
    );
  }

  /** Shows what the URL says. */
  follow() {
    const wanted = where().view === "browse" ? where().parameters.get("image") : null;
    if (wanted === null) {
      this.row = null;
      this.element.close();
      return;
    }
    if (!this.element.open) this.element.showModal();
    if (Number(wanted) !== this.row) trying(() => this.#show(Number(wanted)));
  }

  close() {
    this.row = null;
    adjust({ image: null });
  }

  async #show(row) {
    this.row = row;
    const [fact] = await facts([row]);
    if (this.row !== row) return;
    if (!fact) throw Object.assign(new Error(`There is no image ${row}.`), { hint: "The link may be of another project." });
    this.fact = fact;
    const frame = make(
      "div",
      { class: "frame large" },
      orReason(make("img", { src: picture(fact.digest), alt: sentence(row, fact.path) })),
    );
    this.facts = make("div", { class: "facts" });
    this.like = make("div", {});
    this.element.replaceChildren(
      make(
        "div",
        { class: "bar" },
        make("h2", { id: "image-name", text: baseName(fact.path) }),
        make("span", { class: "grow" }),
        keyed("←", "Before", () => this.#step(-1), { class: "plain" }),
        keyed("→", "After", () => this.#step(1), { class: "plain" }),
        keyed("Esc", "Close", () => this.close(), { class: "plain" }),
      ),
      make("div", { class: "two" }, frame, make("div", { class: "panel" }, this.facts, explainButton(frame, { row }))),
      this.like,
    );
    this.#describe();
    const near = await read(`api/neighbours/${row}?n=${LIKE}`);
    const shown = await strip(
      "Most alike",
      near.map((one) => one.row),
    );
    if (this.row === row && shown) {
      this.like.replaceChildren(
        shown,
        button("Sort all by likeness", () => go("browse", { like: row, sort: "like" }), { class: "plain" }),
      );
    }
  }

  #describe() {
    const { fact, row } = this;
    if (!fact || row === null) return;
    const [label, given] = [store.value("label", row), fact.given];
    const lines = [
      ["Label", store.className(label) + (store.value("excluded", row) ? ", excluded" : "")],
      given !== label && ["Label in the data", store.className(given)],
      fact.predicted !== NONE && [
        "Model says",
        `${store.className(fact.predicted)}${fact.confidence > 0 ? `, ${percent(fact.confidence)}` : ""}`,
      ],
      ["Size", `${fact.width} × ${fact.height} pixels`],
      fact.split && ["Split", fact.split],
      ["Path", fact.path],
    ].filter(Boolean);
    const focused = document.activeElement?.getAttribute("aria-label");
    this.facts.replaceChildren(
      make("dl", {}, ...lines.flatMap(([name, value]) => [make("dt", { text: name }), make("dd", { text: value })])),
      ...fact.findings.map((text) => make("p", { class: "finding", text })),
      classButtons((number) => this.#label(number)),
      make(
        "div",
        { class: "buttons" },
        keyed("k", "Keep", () => this.#keep()),
        keyed("x", store.value("excluded", row) ? "Include again" : "Exclude", () => this.#exclude()),
        keyed("u", "Undo", () => turnAndSay("undo"), { class: "plain" }),
      ),
    );
    if (focused) this.facts.querySelector(`[aria-label="${CSS.escape(focused)}"]`)?.focus();
  }

  #step(by) {
    const order = this.order();
    const index = order.indexOf(this.row) + by;
    if (index < 0 || index >= order.length) {
      say(by < 0 ? "This is the first image." : "This is the last image.");
      return;
    }
    this.moved(index);
    adjust({ image: order[index] }, { replace: true });
  }

  #label(number) {
    const why = store.value("label", this.row) === NONE ? "label" : "relabel";
    decide({ rows: [this.row], label: number, why });
    say(`${baseName(this.fact.path)}: ${store.className(number)}.`);
  }

  #keep() {
    decide({ rows: [this.row], why: "keep" });
    say(`${baseName(this.fact.path)}: kept as ${store.className(store.value("label", this.row))}.`);
  }

  #exclude() {
    const excluded = !store.value("excluded", this.row);
    decide({ rows: [this.row], excluded, why: "exclude" });
    say(`${baseName(this.fact.path)} ${excluded ? "excluded" : "included again"}.`);
  }

  #key(event) {
    event.stopPropagation();
    if (isWriting(event) || event.ctrlKey || event.metaKey || event.altKey) return;
    const number = classOfKey(event);
    const acts = {
      ArrowLeft: () => this.#step(-1),
      ArrowRight: () => this.#step(1),
      k: () => this.#keep(),
      x: () => this.#exclude(),
      u: () => turnAndSay("undo"),
      U: () => turnAndSay("redo"),
      "/": () => findClass((found) => this.#label(found)),
      c: () => newClass((made) => this.#label(made)),
    };
    if (number !== null) this.#label(number);
    else if (event.key in acts) acts[event.key]();
    else return;
    event.preventDefault();
  }
}
