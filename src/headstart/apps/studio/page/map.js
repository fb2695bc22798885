/** The page with the map: images that look alike lie together. A lasso takes a part of it into the grid. */

import { button, count, make } from "./elements.js";
import { later } from "./later.js";
import { encodeLasso, forgetMap, readMap } from "./lasso.js";
import { legendItems } from "./legend.js";
import { groupsOf, KINDS, orderOfGroups, pixelsOf } from "./mapgroups.js";
import { onScheme } from "./palette.js";
import { Peek } from "./peek.js";
import { Cells, drawPoints } from "./points.js";
import { go, note, where } from "./state.js";
import { store } from "./store.js";
import { say, trying } from "./told.js";

const ZOOM = 1.25,
  MOST_ZOOM = 400,
  MARGIN = 0.03,
  STEP = 0.15,
  REACH_PX = 12,
  LEAST_CORNERS = 3,
  WHEEL = 0.0016,
  COLOUR_MS = 200;

/** Shows the page in `place` until `signal` aborts. */
export async function map(place, signal) {
  const page = new MapPage(signal);
  const places = await readMap(
    (text) => place.replaceChildren(make("p", { class: "quiet loading", role: "status", text })),
    signal,
  );
  if (signal.aborted) return;
  page.take(places);
  place.replaceChildren(page.element);
  page.start(signal);
}

class MapPage {
  #view = null; // left top corner in [0, 1], and pixels of the canvas for a unit
  #only = null; // the group that is looked at alone
  #frame = 0;
  #path = null; // corners of the lasso that is being drawn
  #grabbed = null;

  constructor(signal) {
    this.signal = signal;
    this.canvas = make("canvas", {
      tabindex: "0",
      role: "application",
      "aria-roledescription": "map",
      "aria-label": "Map of the images",
    });
    this.over = make("canvas", { class: "over", "aria-hidden": "true" });
    this.sheet = make("div", { class: "sheet" }, this.canvas, this.over);
    this.peek = new Peek(this.sheet);
    this.legend = make("ul", { class: "legend", "aria-label": "Colours" });
    const now = where().parameters.get("colour") ?? "label";
    this.kind = make(
      "select",
      {
        id: "colour",
        on: {
          change: () => {
            note({ colour: this.kind.value });
            this.#only = null;
            this.colour();
          },
        },
      },
      ...Object.entries(KINDS).map(([value, text]) => make("option", { value, text, selected: value === now })),
    );
    this.pan = make("input", { type: "checkbox", id: "pan" });
    this.element = make(
      "section",
      { class: "mapping" },
      make(
        "div",
        { class: "bar" },
        make("h1", { text: "Map" }),
        make("span", { class: "line" }, make("label", { for: "colour", text: "Colour by" }), this.kind),
        make("label", { class: "line", for: "pan" }, this.pan, "Drag moves the map"),
        button("+", () => this.zoom(ZOOM), { "aria-label": "Zoom in" }),
        button("−", () => this.zoom(1 / ZOOM), { "aria-label": "Zoom out" }),
        button("Show all", () => this.all(), { class: "plain" }),
        button("Browse what is in view", () => this.browseView(), { class: "plain" }),
        make("span", {
          class: "quiet",
          text: "Images that look alike lie together. Draw a line around some to see them in the grid.",
        }),
      ),
      make("div", { class: "field" }, this.sheet, this.legend),
    );
  }

  take(places) {
    this.places = places;
    this.cells = new Cells(places);
  }

  start(signal) {
    const listen = (target, events) =>
      Object.entries(events).forEach(([name, act]) => target.addEventListener(name, act, { signal, passive: false }));
    listen(this.canvas, {
      pointerdown: (event) => this.#down(event),
      pointermove: (event) => this.#move(event),
      pointerup: (event) => this.#up(event),
      pointercancel: () => this.#drop(),
      pointerleave: () => this.peek.hide(),
      wheel: (event) => this.#wheel(event),
      keydown: (event) => this.#key(event),
      dblclick: () => {
        if (this.peek.row !== null) go("browse", { image: this.peek.row });
      },
    });
    const watch = new ResizeObserver(() => this.#resize());
    watch.observe(this.sheet);
    signal.addEventListener("abort", () => {
      watch.disconnect();
      cancelAnimationFrame(this.#frame);
    });
    store.on(
      "labels columns classes",
      later(() => this.colour(), COLOUR_MS, signal),
      signal,
    );
    store.on(
      "map scan",
      () =>
        trying(async () => {
          forgetMap();
          this.take(await readMap());
          this.colour();
        }),
      signal,
    );
    onScheme(() => this.colour(), signal);
    this.colour();
  }

  /** Groups anew, as labels or the choice changed. */
  colour() {
    const { groups, legend } = groupsOf(this.kind.value);
    this.groups = groups.length === this.places.length / 2 ? groups : groups.subarray(0, this.places.length / 2);
    this.groupsNamed = legend;
    this.legend.replaceChildren(...legendItems(legend, this.#only, (group) => this.#alone(group)));
    this.draw();
  }

  #alone(group) {
    this.#only = this.#only === group ? null : group;
    this.colour();
    this.legend.querySelectorAll("button")[group].focus();
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.sheet;
    if (!width || !height) return;
    for (const canvas of [this.canvas, this.over]) {
      canvas.width = Math.round(width * devicePixelRatio);
      canvas.height = Math.round(height * devicePixelRatio);
    }
    if (this.#view) this.draw();
    else this.all();
  }

  all() {
    const { width, height } = this.canvas;
    const scale = Math.min(width, height) * (1 - 2 * MARGIN);
    this.least = scale;
    this.#view = { scale, x: 0.5 - width / 2 / scale, y: 0.5 - height / 2 / scale };
    this.draw();
  }

  draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      if (!this.#view || !this.groups) return;
      const context = this.canvas.getContext("2d");
      drawPoints(
        context,
        this.places,
        this.groups,
        pixelsOf(this.groupsNamed, this.#only),
        this.#view,
        orderOfGroups(this.groupsNamed),
      );
      this.canvas.dataset.drawn = performance.now();
    });
  }

  /** Zooms around a place of the canvas, or its middle. */
  zoom(by, x = this.canvas.width / 2, y = this.canvas.height / 2) {
    const view = this.#view,
      scale = Math.max(this.least, Math.min(view.scale * by, this.least * MOST_ZOOM));
    view.x += x / view.scale - x / scale;
    view.y += y / view.scale - y / scale;
    view.scale = scale;
    this.draw();
  }

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    const x = (event.clientX - box.left) * devicePixelRatio,
      y = (event.clientY - box.top) * devicePixelRatio;
    return { x, y, place: [this.#view.x + x / this.#view.scale, this.#view.y + y / this.#view.scale] };
  }

  #down(event) {
    this.canvas.focus({ focusVisible: false });
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.#at(event);
    if (this.pan.checked || event.button === 1 || event.ctrlKey || event.metaKey) {
      this.#grabbed = at.place;
      this.sheet.classList.add("moving");
    } else if (event.button === 0) this.#path = [at.place];
    event.preventDefault();
  }

  #move(event) {
    const at = this.#at(event);
    if (this.#grabbed) {
      this.#view.x += this.#grabbed[0] - at.place[0];
      this.#view.y += this.#grabbed[1] - at.place[1];
      this.draw();
    } else if (this.#path) {
      this.#path.push(at.place);
      this.#drawPath();
    } else this.#hover(event, at);
  }

  #up() {
    const path = this.#path;
    this.#drop();
    if (path && path.length > LEAST_CORNERS) this.browseLasso(path);
  }

  #drop() {
    this.#path = null;
    this.#grabbed = null;
    this.sheet.classList.remove("moving");
    this.over.getContext("2d").clearRect(0, 0, this.over.width, this.over.height);
  }

  #drawPath() {
    const context = this.over.getContext("2d"),
      { x, y, scale } = this.#view;
    context.clearRect(0, 0, this.over.width, this.over.height);
    context.beginPath();
    for (const [u, v] of this.#path) context.lineTo((u - x) * scale, (v - y) * scale);
    context.closePath();
    context.strokeStyle = getComputedStyle(this.sheet).getPropertyValue("--accent");
    context.lineWidth = 2 * devicePixelRatio;
    context.stroke();
  }

  #hover(event, { place }) {
    const within = (REACH_PX * devicePixelRatio) / this.#view.scale;
    const seen = (row) => this.#only === null || this.groups[row] === this.#only;
    this.peek.show(this.cells.nearest(...place, within, seen), event);
  }

  #wheel(event) {
    event.preventDefault();
    const { x, y } = this.#at(event);
    this.zoom(Math.exp(-event.deltaY * WHEEL), x, y);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = (STEP * this.canvas.width) / this.#view.scale;
    const shift = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
    if (shift) {
      this.#view.x += shift[0];
      this.#view.y += shift[1];
      this.draw();
    } else if (event.key === "+" || event.key === "=") this.zoom(ZOOM);
    else if (event.key === "-") this.zoom(1 / ZOOM);
    else if (event.key === "0") this.all();
    else if (event.key === "Enter") this.browseView();
    else return;
    event.preventDefault();
  }

  browseView() {
    const { x, y, scale } = this.#view,
      right = x + this.canvas.width / scale,
      bottom = y + this.canvas.height / scale;
    this.browseLasso([
      [x, y],
      [right, y],
      [right, bottom],
      [x, bottom],
    ]);
  }

  browseLasso(corners) {
    say("The images inside.");
    go("browse", { lasso: encodeLasso(corners) });
  }
}
