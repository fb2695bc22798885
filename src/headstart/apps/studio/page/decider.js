/** Decides on one image after the other: one key each, the next is there at once, the server is not waited for. */

import { classOfKey, findClass, newClass } from "./classes.js";
import { decide, redo, undo } from "./decisions.js";
import { count, isWriting, keyed, make } from "./elements.js";
import { fact } from "./facts.js";
import { panel, shot, SIDES } from "./item.js";
import { later } from "./later.js";
import { prepare } from "./pictures.js";
import { Queue } from "./queue.js";
import { address, go, note, where } from "./state.js";
import { NONE, store } from "./store.js";
import { baseName } from "./tile.js";
import { tell, trying } from "./told.js";

const REFILL_MS = 400;

export class Decider {
  #side = 0; // which of a pair
  #decided = 0;
  #leaving = false; // between a decision and the next image: nothing is drawn

  /**
   * @param {{name: string, title: string, meaning: string}} info
   * @param {AbortSignal} signal
   * @param {(decider: Decider) => void} [after] called after each decision
   */
  constructor(info, signal, after = () => {}) {
    this.info = info;
    this.after = after;
    this.queue = new Queue(info.name);
    this.pictures = make("div", { class: "pictures" });
    this.panel = make("div", { class: "panel" });
    this.told = make("p", { class: "quiet", role: "status" });
    this.element = make(
      "section",
      { class: "deciding", "aria-label": info.title },
      make(
        "div",
        { class: "bar" },
        make("h1", { text: info.title }),
        make("span", { class: "grow" }),
        this.told,
        make("a", { href: address(where().view), text: "All queues" }),
      ),
      make("div", { class: "two" }, this.pictures, this.panel),
    );
    document.addEventListener("keydown", (event) => this.#key(event), { signal, capture: true });
    const refill = later(() => this.queue.fill(true).catch(tell), REFILL_MS, signal);
    store.on("model", refill, signal);
    store.on("classes", () => this.#draw(), signal);
    store.on(
      "labels",
      (rows) => {
        if (rows === null || this.#rows().some((row) => rows.includes(row))) this.#draw();
      },
      signal,
    );
  }

  get item() {
    return this.queue.current;
  }
  get active() {
    return this.#rows()[this.#side];
  }
  #rows() {
    return this.item ? [this.item.row, this.item.other].filter((row) => row !== null && row !== undefined) : [];
  }

  /** Starts at the image that the URL names, if it names one. */
  async start() {
    await this.queue.fill();
    const wanted = where().parameters.get("row");
    if (wanted !== null && Number(wanted) !== this.item?.row) {
      const known = this.queue.items.find((item) => item.row === Number(wanted));
      if (known) this.queue.left.set(known.row, known);
      await this.queue.bringBack(Number(wanted), true);
    }
    this.show();
  }

  /** Shows the current item; its pictures are decoded already if the user was not faster than the network. */
  show() {
    this.#side = 0;
    const { item } = this;
    if (!item) {
      this.#refill();
      return;
    }
    note({ row: item.row });
    if (this.#rows().every((row) => fact(row))) this.#draw();
    else
      trying(async () => {
        await prepare(item);
        if (this.item === item) this.#draw();
      });
  }

  /** At the end of what is here, the server may know more: what was undone, or what the model finds now. */
  #refill() {
    this.pictures.replaceChildren();
    this.panel.replaceChildren(make("p", { class: "quiet", text: "Looking for more …" }));
    trying(async () => {
      await this.queue.fill();
      if (this.item) {
        this.show();
        return;
      }
      note({ row: null });
      this.panel.replaceChildren(
        make("p", { class: "ask", text: "Nothing is left to decide here." }),
        keyed("u", "Undo", () => this.turn("undo")),
        make("a", { href: address("model"), text: "See how good the model is" }),
      );
    });
  }

  #draw() {
    const rows = this.#rows();
    if (this.#leaving || !rows.length || !rows.every((row) => fact(row))) return;
    this.pictures.classList.toggle("pair-of", rows.length > 1);
    const active = this.#side;
    this.pictures.replaceChildren(
      ...rows.map((row, side) => shot(row, rows.length > 1 ? { side, active, turn: () => this.#turnTo(side) } : null)),
    );
    const focused = this.panel.contains(document.activeElement) ? document.activeElement.id : "";
    this.panel.replaceChildren(...panel(this, rows.length > 1 ? SIDES[active] : ""));
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  }

  #turnTo(side) {
    this.#side = side;
    this.#draw();
  }

  label(number) {
    const why = store.value("label", this.active) === NONE ? "label" : "relabel";
    this.#decide(
      [this.active],
      { label: number, ...(store.value("excluded", this.active) ? { excluded: false } : {}), why },
      store.className(number),
    );
  }

  keep() {
    this.#decide(this.#rows(), { why: "keep" }, "kept");
  }

  take() {
    const { suggestion } = this.item;
    if (suggestion === null || suggestion === undefined) {
      this.told.textContent = "There is no suggestion for this image.";
      return;
    }
    this.label(suggestion);
  }

  exclude() {
    this.#decide([this.active], { excluded: true, why: "exclude" }, "excluded");
  }

  skip() {
    this.#decide([this.item.row], { why: "skip" }, "skipped");
  }

  open() {
    go("browse", { image: this.active });
  }

  #decide(rows, wish, word) {
    const { item } = this;
    if (!item) return;
    this.#leaving = true;
    decide({ rows, ...wish, why: `${wish.why}:${this.info.name}`, onReturn: () => this.#returned(item) });
    this.#decided += 1;
    this.told.textContent = `${baseName(fact(rows[0])?.path ?? "")}: ${word}. ${count(this.#decided)} decided.`;
    this.queue.advance();
    this.#leaving = false;
    this.show();
    this.after(this);
  }

  /** A decision that did not hold: its image comes next, not now, as the next key is meant for the one that is shown. */
  async #returned(item) {
    this.#decided -= 1;
    await this.queue.bringBack(item.row, this.item === null);
    if (this.item === item) this.show();
  }

  /** Undo shows the image again whose decision was taken back; redo leaves it. */
  turn(kind) {
    return trying(async () => {
      const rows = await (kind === "undo" ? undo() : redo());
      if (!rows.length) {
        this.told.textContent = `Nothing to ${kind} in this window.`;
        return;
      }
      this.told.textContent = kind === "undo" ? "Taken back." : "Done again.";
      if (kind === "undo") {
        this.#decided = Math.max(0, this.#decided - 1);
        const item = [...this.queue.left.values()].find((one) => rows.includes(one.row) || rows.includes(one.other));
        await this.queue.bringBack(item?.row ?? rows[0], true);
      } else if (this.item && rows.includes(this.active)) this.queue.advance();
      this.show();
    });
  }

  #key(event) {
    if (isWriting(event) || document.querySelector("dialog[open]") || event.ctrlKey || event.metaKey || event.altKey) return;
    const number = this.item ? classOfKey(event) : null;
    const pair = this.#rows().length > 1;
    const acts = {
      ...(this.item
        ? {
            x: () => this.exclude(),
            n: () => this.skip(),
            s: () => this.take(),
            o: () => this.open(),
            c: () => newClass((made) => this.label(made)),
            "/": () => findClass((found) => this.label(found)),
          }
        : {}),
      ...(this.item && store.value("label", this.active) !== NONE ? { k: () => this.keep() } : {}),
      ...(pair ? { ArrowLeft: () => this.#turnTo(0), ArrowRight: () => this.#turnTo(1) } : {}),
      u: () => this.turn("undo"),
      U: () => this.turn("redo"),
    };
    if (number === null && !(event.key in acts)) return;
    event.preventDefault();
    event.stopPropagation();
    if (event.repeat) return; // a key that is held down decides once
    if (number !== null) this.label(number);
    else acts[event.key]();
  }
}
