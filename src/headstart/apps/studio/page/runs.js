/** The page that trains: starts runs, shows how far they are, sets them side by side and opens their reports. */

import { post, read } from "./api.js";
import { button, count, make, percent } from "./elements.js";
import { interval } from "./reviewed.js";
import { note, where } from "./state.js";
import { say, trying } from "./told.js";

const POLL_MS = 1000,
  SLOW_POLL_MS = 10000;
const STRATEGIES = {
  auto: "auto: what the data deserve",
  probe: "probe: a linear head, in seconds",
  finetune: "finetune: the whole network, in minutes or hours",
};
const EFFORTS = { quick: "quick", normal: "normal", thorough: "thorough" };
const OPEN = new Set(["waiting", "running"]);

/** Shows the page in `place` until `signal` aborts. */
export async function runs(place, signal) {
  const page = new Runs(signal);
  place.replaceChildren(page.element);
  await page.follow();
}

class Runs {
  #states = new Map();

  constructor(signal) {
    this.signal = signal;
    this.table = make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Runs" });
    this.report = make("section", { class: "column", "aria-label": "Report" });
    this.element = make("div", { class: "column" }, make("h1", { text: "Train" }), this.#form(), this.table, this.report);
  }

  #form() {
    const choice = (id, text, options, value) =>
      make(
        "label",
        { for: id },
        text,
        make(
          "select",
          { id, name: id },
          ...Object.entries(options).map(([key, words]) =>
            make("option", { value: key, text: words, selected: key === value }),
          ),
        ),
      );
    const form = make(
      "form",
      { class: "card", "aria-labelledby": "start-title" },
      make("h2", { id: "start-title", text: "Start a run" }),
      make("p", {
        class: "quiet",
        text: "It trains on the labels as they are now. You can go on labelling: what you label later is for the next run.",
      }),
      make(
        "div",
        { class: "fields" },
        choice("strategy", "Strategy", STRATEGIES, "auto"),
        choice("effort", "Effort", EFFORTS, "normal"),
        make("button", { class: "main", text: "Start" }),
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      trying(async () => {
        await post("api/runs", Object.fromEntries(new FormData(form)));
        say("The run has started.");
        await this.#draw();
      });
    });
    return form;
  }

  /** Asks how far runs are, for as long as the page is shown. */
  async follow() {
    const opened = where().parameters.get("report");
    if (opened) this.open(opened);
    while (!this.signal.aborted) {
      const open = await trying(() => this.#draw());
      await new Promise((next) => setTimeout(next, open ? POLL_MS : SLOW_POLL_MS));
    }
  }

  async #draw() {
    const all = await read("api/runs", this.signal);
    for (const run of all) {
      const before = this.#states.get(run.id);
      if (before && OPEN.has(before) && !OPEN.has(run.state)) say(`Run ${run.name}: ${run.state}.`);
      this.#states.set(run.id, run.state);
    }
    const focused = document.activeElement?.id;
    this.table.replaceChildren(all.length ? sideBySide(all, this) : make("p", { class: "quiet", text: "No run yet." }));
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
    return all.some((run) => OPEN.has(run.state));
  }

  open(name) {
    note({ report: name });
    const src = `runs/${encodeURIComponent(name)}/report.html`;
    const frame = make("iframe", { class: "report", sandbox: true, src, title: `Report of ${name}` });
    this.report.replaceChildren(
      make(
        "div",
        { class: "bar" },
        make("h2", { text: `Report of ${name}` }),
        make("span", { class: "grow" }),
        make("a", { href: src, target: "_blank", rel: "noopener", text: "Open in a tab of its own" }),
        button(
          "Close",
          () => {
            note({ report: null });
            this.report.replaceChildren();
          },
          { class: "plain" },
        ),
      ),
      frame,
    );
    this.report.scrollIntoView({ block: "nearest" });
  }

  cancel(run) {
    trying(async () => {
      await post(`api/runs/${encodeURIComponent(run.id)}/cancel`);
      await this.#draw();
    });
  }
}

function sideBySide(all, page) {
  const heads = ["Run", "State", "Strategy", "Labels", "Accuracy", "Time", ""];
  return make(
    "table",
    { class: "runs" },
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        ...heads.map((text) => make("th", { scope: "col" }, text || make("span", { class: "hidden", text: "Actions" }))),
      ),
    ),
    make(
      "tbody",
      {},
      ...all.map((run) =>
        make(
          "tr",
          {},
          make("th", { scope: "row", text: run.name }),
          make("td", {}, state(run)),
          make("td", { text: run.strategy || "–" }),
          make("td", { text: run.n_labelled ? count(run.n_labelled) : "–" }),
          make(
            "td",
            {},
            make("strong", { text: percent(run.accuracy) }),
            make("br"),
            make("span", { class: "quiet", text: interval(run.accuracy_ci95) }),
          ),
          make("td", { text: run.seconds ? duration(run.seconds) : "–" }),
          make("td", {}, actions(run, page)),
        ),
      ),
    ),
  );
}

function state(run) {
  if (run.state === "failed")
    return make("div", {}, make("span", { class: "doubt", text: `failed: ${run.error ?? ""} ${run.hint ?? ""}` }));
  const { stage, done, total } = run.progress ?? {};
  if (!OPEN.has(run.state) || !stage) return make("span", { text: run.state });
  const share = total ? done / total : 0;
  return make(
    "div",
    {},
    make("span", { text: `${stage}${total ? `: ${count(done)} of ${count(total)}` : ""}` }),
    make(
      "div",
      {
        class: "meter",
        role: "progressbar",
        "aria-label": `${run.name}: ${stage}`,
        "aria-valuenow": Math.round(100 * share),
        "aria-valuemin": 0,
        "aria-valuemax": 100,
      },
      make("i", { vars: { "--share": `${100 * share}%` } }),
    ),
  );
}

function actions(run, page) {
  if (OPEN.has(run.state))
    return button("Cancel", () => page.cancel(run), { id: `cancel-${run.id}`, "aria-label": `Cancel ${run.name}` });
  if (run.state !== "done") return null;
  return button("Report", () => page.open(run.name), {
    id: `report-${run.id}`,
    class: "plain",
    "aria-label": `Open the report of ${run.name}`,
  });
}

/** "41 s", "3 min", "2.1 h". */
function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
