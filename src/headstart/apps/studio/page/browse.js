/** The page that browses: filter, chips, bar, grid, and the image that is open. */

import { actionBar } from "./actions.js";
import { readOrder } from "./api.js";
import { chips, clearFilter, filterForm, orderOf, SORTS, without } from "./filters.js";
import { button, count, isWriting, make } from "./elements.js";
import { forgetFacts } from "./facts.js";
import { amount, Grid, nothing } from "./grid.js";
import { ImageDialog } from "./image.js";
import { later } from "./later.js";
import { rowsInLasso } from "./lasso.js";
import { Selection } from "./selection.js";
import { adjust, note, onMove, where } from "./state.js";
import { store } from "./store.js";
import { say, trying } from "./told.js";

const SIZES = { small: 110, medium: 160, large: 260 };
const COUNT_MS = 800;
const UNFILTERED = ["image", "at", "tiles"];

/** Shows the page in `place` until `signal` aborts. */
export function browse(place, signal) {
  const page = new Browse(signal);
  place.replaceChildren(page.element);
  page.draw();
  return page.ask().then(() => page.grid.element.focus({ preventScroll: true }));
}

class Browse {
  #asking = new AbortController();
  #asked = null;
  #count;

  constructor(signal) {
    this.selection = new Selection();
    const open = (row) => adjust({ image: row });
    this.grid = new Grid(this.selection, { open, moved: (index) => this.#moved(index), signal });
    this.dialog = new ImageDialog(
      () => this.grid.order,
      (index) => this.grid.moveTo(index),
      signal,
    );
    this.bar = actionBar(
      this.selection,
      () => this.grid.order,
      () => (this.#lasso ? null : orderOf(where().parameters)),
      signal,
    );
    this.side = make("aside", { class: "side", "aria-label": "Filter and sort" });
    this.amount = make("h1", { class: "number", "aria-live": "polite", text: "…" });
    this.chips = make("div", { class: "chips", role: "group", "aria-label": "The filter now" });
    this.empty = nothing(clearFilter);
    this.stale = button("Refresh", () => this.ask(), { class: "plain", hidden: true, id: "refresh" });
    this.element = make(
      "section",
      { class: "browse" },
      this.side,
      make(
        "div",
        { class: "main-column" },
        make("div", { class: "bar" }, this.amount, this.stale, this.#sorts(), this.#sizes()),
        this.chips,
        this.bar.element,
        this.empty,
        this.grid.element,
      ),
    );
    this.element.addEventListener("keydown", (event) => this.#key(event));
    signal.addEventListener(
      "abort",
      onMove(() => this.#move()),
    );
    signal.addEventListener("abort", () => this.#asking.abort());
    store.on("labels", () => this.#labelled(), signal);
    this.#count = later(() => this.draw(), COUNT_MS, signal);
    store.on("scan columns", (_, type) => this.#news(type), signal);
    store.on("classes", () => this.draw(), signal);
    this.grid.wish = SIZES[where().parameters.get("tiles")] ?? SIZES.medium;
  }

  get #lasso() {
    return where().parameters.get("lasso");
  }

  /** The same place without what does not change which images are shown. */
  get #question() {
    const parameters = new URLSearchParams(where().parameters);
    for (const name of UNFILTERED) parameters.delete(name);
    return parameters.toString();
  }

  draw() {
    const open = new Set(
      [...this.side.querySelectorAll("details[open]")].map((one) => one.querySelector("summary").textContent),
    );
    const closed = new Set(
      [...this.side.querySelectorAll("details:not([open])")].map((one) => one.querySelector("summary").textContent),
    );
    const focused = document.activeElement?.id;
    const wide = matchMedia("(min-width: 56rem)").matches;
    const form = filterForm();
    for (const details of form.querySelectorAll("details")) {
      const heading = details.querySelector("summary").textContent;
      if (open.has(heading)) details.open = true;
      if (closed.has(heading)) details.open = false;
    }
    const shell = make(
      "details",
      { class: "shell", open: wide || open.has("Filter") },
      make("summary", { text: "Filter" }),
      form,
    );
    this.side.replaceChildren(shell);
    const { parameters } = where();
    const list = chips(parameters);
    this.chips.replaceChildren(
      ...list.map(([name, value, text]) =>
        button(`${text} ×`, () => without(name, value), {
          class: "chip",
          "aria-label": `Remove from the filter: ${text}`,
        }),
      ),
      list.length > 1 ? button("Clear all", clearFilter, { class: "plain" }) : "",
    );
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    this.sorting.value = parameters.get("sort") ?? (parameters.has("like") ? "like" : "order");
    this.sorting.querySelector("[value=like]").hidden = !parameters.has("like");
  }

  #sorts() {
    this.sorting = make(
      "select",
      { id: "sort", on: { change: () => adjust({ sort: this.sorting.value, down: null, at: null }) } },
      ...Object.entries(SORTS).map(([value, text]) => make("option", { value, text })),
    );
    const turn = button("⇅", () => adjust({ down: orderOf(where().parameters).descending ? "0" : "1", at: null }), {
      class: "plain",
      "aria-label": "Turn the order round",
      title: "Turn the order round",
    });
    return make("span", { class: "line" }, make("label", { for: "sort", text: "Sort" }), this.sorting, turn);
  }

  #sizes() {
    const now = where().parameters.get("tiles") ?? "medium";
    const select = make(
      "select",
      {
        id: "tiles",
        on: {
          change: () => {
            note({ tiles: select.value });
            this.grid.wish = SIZES[select.value];
          },
        },
      },
      ...Object.keys(SIZES).map((name) => make("option", { value: name, text: name, selected: name === now })),
    );
    return make("span", { class: "line" }, make("label", { for: "tiles", text: "Tiles" }), select);
  }

  /** Asks which rows match, and shows them from where the URL says. */
  async ask() {
    this.#asking.abort();
    this.#asking = new AbortController();
    this.#asked = this.#question;
    this.stale.hidden = true;
    this.element.setAttribute("aria-busy", "true");
    await trying(async () => {
      const { parameters } = where();
      let order = await readOrder(orderOf(parameters), this.#asking.signal);
      if (this.#lasso) {
        const inside = await rowsInLasso(this.#lasso);
        order = order.filter((row) => inside[row]);
      }
      this.grid.show(order, Number(parameters.get("at") ?? 0));
      this.amount.textContent = order.length === store.n ? amount(order) : `${count(order.length)} of ${count(store.n)} images`;
      this.empty.hidden = order.length > 0;
      this.grid.element.hidden = order.length === 0;
      this.bar.draw();
      this.dialog.follow();
    });
    this.element.removeAttribute("aria-busy");
  }

  #move() {
    if (where().view !== "browse") return;
    if (this.#question !== this.#asked) {
      this.draw();
      this.selection.clear();
      this.ask();
    } else this.dialog.follow();
  }

  #moved(index) {
    if (where().view === "browse" && !this.dialog.element.open) note({ at: index || null });
  }

  /** The list stays as it is under the user's hands; the numbers beside the filter follow after a moment. */
  #labelled() {
    this.stale.hidden = this.#question === "";
    this.#count();
  }

  #news(type) {
    forgetFacts();
    this.draw();
    if (type === "scan") this.ask();
    else this.stale.hidden = this.#question === "";
  }

  #key(event) {
    if (isWriting(event) || this.dialog.element.open) return;
    if (!event.target.closest(".side") && this.bar.key(event)) {
      event.preventDefault();
      event.stopPropagation();
    } else if (event.key === "f" && !event.ctrlKey && !event.metaKey && !this.selection.size) {
      this.side.querySelector("summary").focus();
      say("Filter");
    }
  }
}
