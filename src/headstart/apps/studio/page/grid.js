/** The grid: scrolls through a million images with at most some two hundred tiles in the document. */

import { button, counted, isWriting, make } from "./elements.js";
import { facts } from "./facts.js";
import { LongScroll } from "./scroll.js";
import { store } from "./store.js";
import { Tile } from "./tile.js";
import { tell } from "./told.js";

const MOST_TILES = 200,
  GAP_PX = 10,
  CAPTION_PX = 44,
  AHEAD_ROWS = 1,
  SETTLE_MS = 40; // at least, from one question to the next

export class Grid {
  order = new Uint32Array(0);
  /** Index of the image that keys act on. */
  at = 0;
  #tiles = new Map(); // index -> Tile
  #spare = [];
  #across = 1;
  side = 0; // of a tile, in pixels
  pitch = 0; // from one row of tiles to the next
  #wish = 160;
  #anchor = 0;
  #frame = 0;
  #settle = 0;
  #loaded = -Infinity; // when it was last asked for what is in view
  #asking = new AbortController();
  #asked = null; // tiles of the question that is under way
  #again = false;

  /**
   * @param {import("./selection.js").Selection} selection
   * @param {{open: (row: number) => void, moved?: (index: number) => void, signal: AbortSignal}} hooks
   */
  constructor(selection, hooks) {
    this.selection = selection;
    this.hooks = hooks;
    this.layer = make("div", { class: "layer", role: "presentation" });
    this.spacer = make("div", { class: "spacer", role: "presentation" }, this.layer);
    this.element = make(
      "div",
      {
        class: "grid",
        tabindex: "0",
        role: "listbox",
        "aria-multiselectable": "true",
        "aria-label": "Images",
      },
      this.spacer,
    );
    this.scroll = new LongScroll(this.element, this.spacer, () => this.#later());
    this.element.addEventListener("keydown", (event) => this.#key(event));
    this.element.addEventListener("click", (event) => this.#click(event));
    this.element.addEventListener("dblclick", (event) => this.#open(this.#indexOf(event)));
    selection.addEventListener("change", () => this.#mark(), { signal: hooks.signal });
    const watch = new ResizeObserver(() => this.#layOut(this.#topIndex));
    watch.observe(this.element);
    store.on(
      "labels columns classes",
      () => {
        for (const tile of this.#tiles.values()) tile.describe();
      },
      hooks.signal,
    );
    hooks.signal.addEventListener("abort", () => {
      watch.disconnect();
      this.#asking.abort();
      clearTimeout(this.#settle);
    });
  }

  /** Shows other rows, from an index on. */
  show(order, index = 0) {
    this.order = order;
    for (const [at, tile] of this.#tiles) {
      tile.element.setAttribute("aria-setsize", order.length);
      if (order[at] === tile.row) continue; // such as while the scan adds others after it
      this.#tiles.delete(at);
      this.#free(tile);
    }
    this.at = Math.max(0, Math.min(index, order.length - 1));
    this.#anchor = this.at;
    this.#layOut(this.at);
  }

  /** How wide tiles are, in pixels. */
  set wish(px) {
    this.#wish = px;
    this.#layOut(this.#topIndex);
  }

  get #topIndex() {
    return Math.floor(this.scroll.position / (this.pitch || 1)) * this.#across;
  }

  /** As many columns as fit; tiles grow where more than two hundred would be seen at once. */
  #layOut(index) {
    const width = this.element.clientWidth,
      height = this.element.clientHeight;
    if (!width || !height) return;
    for (let wish = this.#wish; ; wish *= 1.1) {
      this.#across = Math.max(1, Math.floor((width + GAP_PX) / (wish + GAP_PX)));
      this.side = (width - (this.#across - 1) * GAP_PX) / this.#across;
      this.pitch = Math.round(this.side + CAPTION_PX + GAP_PX);
      const rows = Math.ceil(height / this.pitch) + 1 + 2 * AHEAD_ROWS;
      if (rows * this.#across <= MOST_TILES || this.#across === 1) break;
    }
    this.element.style.setProperty("--side", `${this.side}px`);
    this.scroll.resize(Math.ceil(this.order.length / this.#across) * this.pitch, Math.floor(index / this.#across) * this.pitch);
    this.#place();
  }

  #later() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#place();
    });
  }

  /** Puts tiles where they are seen; those scrolled past stop loading and are used again. */
  #place() {
    if (!this.pitch) return;
    const { position } = this.scroll,
      height = this.element.clientHeight;
    const first = Math.max(0, Math.floor(position / this.pitch) - AHEAD_ROWS) * this.#across;
    const last = Math.min(this.order.length, (Math.floor((position + height) / this.pitch) + 1 + AHEAD_ROWS) * this.#across);
    for (const [index, tile] of this.#tiles) {
      if (index < first || index >= last) {
        this.#tiles.delete(index);
        this.#free(tile);
      }
    }
    const top = Math.floor(first / this.#across) * this.pitch;
    this.layer.style.setProperty("transform", `translateY(${top + this.scroll.offset}px)`);
    for (let index = first; index < last; index += 1) {
      const tile = this.#tiles.get(index) ?? this.#take(index);
      const x = (index % this.#across) * (this.side + GAP_PX),
        y = Math.floor(index / this.#across) * this.pitch - top;
      tile.element.style.setProperty("transform", `translate(${x}px, ${y}px)`);
    }
    this.#mark();
    this.#settle ||= setTimeout(
      () => {
        this.#settle = 0;
        this.#loaded = performance.now();
        this.#load();
      },
      Math.max(0, this.#loaded + SETTLE_MS - performance.now()),
    );
  }

  #take(index) {
    const tile = this.#spare.pop() ?? new Tile();
    tile.show(this.order[index], index);
    tile.element.id = `tile-${index}`;
    tile.element.setAttribute("aria-posinset", index + 1);
    tile.element.setAttribute("aria-setsize", this.order.length);
    if (!tile.element.isConnected) this.layer.append(tile.element);
    tile.element.hidden = false;
    this.#tiles.set(index, tile);
    return tile;
  }

  #free(tile) {
    tile.stop();
    tile.element.hidden = true;
    tile.element.removeAttribute("id");
    this.#spare.push(tile);
  }

  /** Asks for what is in view now. A question about what was scrolled past is dropped; one that still matters is waited for. */
  async #load() {
    if (this.hooks.signal.aborted) return;
    this.hooks.moved?.(this.#topIndex);
    const tiles = [...this.#tiles.values()];
    if (this.#asked?.some((tile) => this.#tiles.get(tile.index) === tile)) {
      this.#again = true;
      return;
    }
    this.#asking.abort();
    this.#asking = new AbortController();
    const asked = tiles.map((tile) => tile.row);
    this.#asked = tiles;
    try {
      const known = await facts(asked, this.#asking.signal);
      tiles.forEach((tile, index) => tile.load(known[index], this.side));
    } catch (error) {
      if (error.name === "AbortError") return;
      tell(error);
    }
    if (this.#asked !== tiles) return;
    this.#asked = null;
    if (this.#again) {
      this.#again = false;
      this.#load();
    }
  }

  #mark() {
    for (const [index, tile] of this.#tiles) {
      tile.element.setAttribute("aria-selected", this.selection.has(tile.row));
      tile.element.classList.toggle("at", index === this.at);
    }
    if (this.#tiles.has(this.at)) this.element.setAttribute("aria-activedescendant", `tile-${this.at}`);
    else this.element.removeAttribute("aria-activedescendant");
  }

  #indexOf(event) {
    const element = event.target.closest(".tile");
    return element ? Number(element.id.slice("tile-".length)) : null;
  }

  #click(event) {
    const index = this.#indexOf(event);
    if (index === null) return;
    this.at = index;
    if (event.shiftKey) this.#range(index);
    else {
      this.#anchor = index;
      this.selection.set([this.order[index]], !this.selection.has(this.order[index]));
    }
  }

  #range(index) {
    const [from, to] = [Math.min(this.#anchor, index), Math.max(this.#anchor, index)];
    this.selection.set(this.order.subarray(from, to + 1), true);
  }

  #open(index) {
    if (index !== null && index < this.order.length) this.hooks.open(this.order[index]);
  }

  /** Moves the place that keys act on, and scrolls there. */
  moveTo(index, extend = false) {
    if (!this.order.length) return;
    this.at = Math.max(0, Math.min(index, this.order.length - 1));
    if (extend) this.#range(this.at);
    else this.#anchor = this.at;
    const top = Math.floor(this.at / this.#across) * this.pitch,
      height = this.element.clientHeight;
    if (top < this.scroll.position) this.scroll.to(top);
    else if (top + this.pitch > this.scroll.position + height) this.scroll.to(top + this.pitch - height);
    this.#place();
  }

  #key(event) {
    if (isWriting(event) || event.altKey) return;
    const page = Math.max(1, Math.floor(this.element.clientHeight / this.pitch)) * this.#across;
    const steps = {
      ArrowLeft: -1,
      ArrowRight: 1,
      ArrowUp: -this.#across,
      ArrowDown: this.#across,
      PageUp: -page,
      PageDown: page,
      Home: -this.order.length,
      End: this.order.length,
    };
    const row = this.order[this.at];
    if (event.key in steps) this.moveTo(this.at + steps[event.key], event.shiftKey);
    else if (event.key === " " && row !== undefined) this.selection.set([row], !this.selection.has(row));
    else if (event.key === "Enter") this.#open(this.at);
    else if (event.key === "Escape" && this.selection.size) this.selection.clear();
    else if (event.key.toLowerCase() === "a" && (event.ctrlKey || event.metaKey)) this.selection.all(this.order);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** What is shown where nothing matches. */
export function nothing(clear) {
  return make("div", { class: "empty" }, make("p", { text: "No image matches." }), button("Show all images", clear));
}

/** "1,234 images". */
export const amount = (order) => counted(order.length, "image");
