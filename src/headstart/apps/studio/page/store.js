/** What is known of all images: typed arrays with one value a row, kept fresh by long polling. */

import { post, read, readColumn } from "./api.js";
import { later } from "./later.js";
import { tell } from "./told.js";

const OF_MODEL = ["predicted", "confidence", "suspicion", "unfamiliar", "findings"];
const OF_LABELS = ["label", "excluded", "decided"];
const SCORES_MS = 1500,
  RETRY_MS = 1500,
  BREATH_MS = 250,
  MOST_AT_ONCE = 500;
export const NONE = -1;

/**
 * Events: "labels" (detail: rows, or null for all), "model" (there is a new one), "columns" (its answers are here), "classes",
 * "scan", "map".
 */
class Store extends EventTarget {
  /** @type {object} as /api/project gives it */
  project = null;
  /** @type {Map<string, Int32Array|Float32Array|Uint8Array|Uint32Array>} */
  columns = new Map();
  last = 0;
  /** Rows with a decision that is not on disk yet: what the server says of them is older. @type {Map<number, number>} */
  pending = new Map();
  /** Puts decisions that are under way on columns that were read anew. */
  overlay = () => {};
  #loading = new Map();
  #poll = new AbortController();
  /** A model is fitted after each decision: its answers for all images are read at a bearable rate. */
  #scoresLater = later(() => this.refresh(OF_MODEL).catch(tell), SCORES_MS);

  async open() {
    this.project = await read("api/project");
    this.last = this.project.last;
    await Promise.all(["label", "excluded", "predicted", "decided", "findings"].map((name) => this.load(name)));
    this.#follow();
  }

  get classes() {
    return this.project.classes;
  }
  get n() {
    return this.columns.get("label")?.length ?? 0;
  }

  className(number) {
    return number === NONE || number === undefined || number === null
      ? "no label"
      : (this.classes[number] ?? `class ${number}`);
  }

  /** A column, read if it was not yet. */
  async load(name) {
    if (this.columns.has(name)) return this.columns.get(name);
    if (!this.#loading.has(name)) {
      const reading = readColumn(name).then((values) => {
        this.columns.set(name, values);
        return values;
      });
      this.#loading.set(
        name,
        reading.finally(() => this.#loading.delete(name)),
      );
    }
    return this.#loading.get(name);
  }

  value(name, row) {
    return this.columns.get(name)?.[row];
  }

  /** Titles of the findings of a row. */
  findings(row) {
    const bits = this.value("findings", row) ?? 0;
    return bits ? this.project.checks.filter((_, bit) => bits & (1 << bit)) : [];
  }

  /** Sets the labels of rows here; the server hears of it from decisions.js. */
  set(rows, label, excluded) {
    const labels = this.columns.get("label"),
      out = this.columns.get("excluded"),
      decided = this.columns.get("decided");
    rows.forEach((row, index) => {
      if (label !== undefined) labels[row] = typeof label === "number" ? label : label[index];
      if (excluded !== undefined) out[row] = typeof excluded === "boolean" ? Number(excluded) : excluded[index];
      decided[row] = 1;
    });
    this.#tell("labels", rows);
  }

  /** Reads what rows carry now, as the server has it. */
  async reread(rows) {
    if (rows.length > MOST_AT_ONCE) return this.refresh(OF_LABELS);
    const facts = rows.length ? await post("api/rows", { rows: [...rows] }) : [];
    for (const fact of facts) {
      if (this.pending.has(fact.row)) continue;
      this.columns.get("label")[fact.row] = fact.label;
      this.columns.get("excluded")[fact.row] = Number(fact.excluded);
      this.columns.get("decided")[fact.row] = Number(fact.decided);
    }
    this.#tell("labels", rows);
    return undefined;
  }

  /** Reads columns again that are in use. Changes that come meanwhile are asked for once more, so that none is overwritten. */
  async refresh(names) {
    const before = this.last;
    const used = names.filter((name) => this.columns.has(name));
    const values = await Promise.all(used.map((name) => readColumn(name)));
    used.forEach((name, index) => this.columns.set(name, values[index]));
    if (used.includes("label") && this.last !== before) {
      this.last = before;
      this.#poll.abort();
    }
    this.overlay();
    this.#tell("columns", used);
    if (used.includes("label")) this.#tell("labels", null);
  }

  async makeClass(name) {
    const { classes } = await post("api/classes", { name });
    this.#setClasses(classes);
    return classes.indexOf(name);
  }

  #setClasses(classes) {
    const changed = classes.length !== this.project.classes.length;
    this.project.classes = classes;
    if (changed) this.#tell("classes");
  }

  /** Asks for changes for as long as the page is open. */
  async #follow() {
    let untell = () => {};
    for (;;) {
      this.#poll = new AbortController();
      const { model, n_read: nRead } = this.project;
      const started = performance.now();
      try {
        const query = `since=${this.last}&model=${model}&n_read=${nRead}&map=${this.project.map}`;
        const news = await read(`api/changes?${query}`, this.#poll.signal);
        untell();
        await this.#take(news);
      } catch (error) {
        if (error.name === "AbortError") continue;
        untell = tell(error);
        await new Promise((next) => setTimeout(next, RETRY_MS));
      }
      const quick = performance.now() - started < BREATH_MS;
      if (quick) await new Promise((next) => setTimeout(next, BREATH_MS));
    }
  }

  async #take(news) {
    this.#setClasses(news.classes);
    const rows = [];
    for (const change of news.changes) {
      if (this.pending.has(change.row)) continue;
      this.columns.get("label")[change.row] = change.label;
      this.columns.get("excluded")[change.row] = Number(change.excluded);
      this.columns.get("decided")[change.row] = Number(change.decided ?? true);
      rows.push(change.row);
    }
    this.last = Math.max(this.last, news.last);
    if (rows.length) this.#tell("labels", rows);
    await this.#takeScan(news);
    if (news.model !== this.project.model) {
      this.project.model = news.model;
      this.#scoresLater();
      this.#tell("model");
    }
    if (news.map !== undefined && news.map !== this.project.map) {
      this.project.map = news.map;
      this.#tell("map");
    }
  }

  async #takeScan(news) {
    if (news.n_read === this.project.n_read && news.scanning === this.project.scanning) return;
    this.project = { ...(await read("api/project")), model: this.project.model, map: this.project.map };
    await this.refresh([...this.columns.keys()]);
    this.#tell("scan");
  }

  #tell(type, detail = null) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }

  /** Listens until the signal says stop. */
  on(types, listener, signal) {
    for (const type of types.split(" ")) this.addEventListener(type, (event) => listener(event.detail, type), { signal });
  }
}

export const store = new Store();
