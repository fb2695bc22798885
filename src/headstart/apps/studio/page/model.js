/** The page that shows how good the model is, live while labels change. */

import { read } from "./api.js";
import { confusion } from "./confusion.js";
import { curve } from "./curve.js";
import { count, counted, make, percent } from "./elements.js";
import { later } from "./later.js";
import { interval, reviewedCard } from "./reviewed.js";
import { address } from "./state.js";
import { store } from "./store.js";
import { trying } from "./told.js";

const DELAY_MS = 300;
const SHUFFLED = { unlabelled: true, sort: "random" };

/** Shows the page in `place` until `signal` aborts. */
export async function model(place, signal) {
  const draw = async () => {
    const known = await read("api/model", signal);
    const reviewed = await reviewedCard(signal);
    if (signal.aborted) return;
    const focused = place.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    place.replaceChildren(pageOf(known, reviewed));
    if (focused) place.querySelector(`[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  };
  store.on(
    "model classes",
    later(() => trying(draw), DELAY_MS, signal),
    signal,
  );
  await draw();
}

function pageOf(known, reviewed) {
  const column = make("div", { class: "column" }, make("h1", { text: "How good the model is" }));
  if (known.accuracy === null || known.accuracy === undefined) {
    column.append(
      make("p", { text: "There is no model yet. It needs two classes with a few labelled images each." }),
      make("p", {}, make("a", { href: address("label"), text: "Label images" })),
    );
    return column;
  }
  column.append(
    make("div", { class: "cards" }, accuracy(known), learning(known)),
    classes(known),
    make(
      "section",
      { class: "card", "aria-labelledby": "confusion-title" },
      make("h2", { id: "confusion-title", text: "Which classes it takes for which" }),
      make("p", { class: "quiet", text: "Rows: your label. Columns: what the model says. Each number opens its images." }),
      confusion(known),
    ),
    reviewed,
  );
  return column;
}

function accuracy(known) {
  const flattering = known.n_decided_by_model;
  return make(
    "section",
    { class: "card", "aria-labelledby": "accuracy-title", "aria-live": "polite" },
    make("h2", { id: "accuracy-title", text: known.fitting ? "Accuracy (being fitted anew …)" : "Accuracy" }),
    make("p", { class: "big number", text: percent(known.accuracy) }),
    make("p", { class: "number", text: interval(known.accuracy_ci95) }),
    make("p", {
      class: "quiet",
      text:
        `Cross-validation: each of ${counted(known.n_labelled, "labelled image")} is judged by a model fitted without it ` +
        "and its likes. The interval tells how far chance may have moved the figure, given so many images.",
    }),
    flattering > 0 &&
      make("p", {
        class: "finding",
        text:
          `${counted(flattering, "label was", "labels were")} decided because the model disagreed. ` +
          `They flatter it: without them it is right in ${percent(known.accuracy_without_those)}.`,
      }),
    known.caution && make("p", { class: "finding", text: known.caution }),
    known.caution &&
      known.accuracy_of_others === null &&
      make("p", {}, make("a", { href: address("browse", SHUFFLED), text: "Unlabelled images in shuffled order" })),
  );
}

function learning(known) {
  const has = known.curve.length > 1;
  return make(
    "section",
    { class: "card", "aria-labelledby": "curve-title" },
    make("h2", { id: "curve-title", text: "What more labels brought" }),
    has ? curve(known.curve) : make("p", { class: "quiet", text: "The curve is drawn when there are more labels." }),
    known.enough && make("p", { text: known.enough }),
  );
}

function classes(known) {
  const rows = known.per_class.map((one) => {
    const name = store.className(one.class);
    return make(
      "tr",
      {},
      make("th", { scope: "row" }, make("a", { href: address("browse", { label: name }), text: name })),
      make("td", { text: count(one.n) }),
      share(one.recall, one.n),
      share(one.precision, one.n),
    );
  });
  const head = [
    ["Class"],
    ["Labelled"],
    ["Found", "Of the images with this label, the share that the model finds (recall)"],
    ["Right when named", "Of the images that the model gives this name, the share with this label (precision)"],
  ];
  return make(
    "section",
    { class: "card", "aria-labelledby": "classes-title" },
    make("h2", { id: "classes-title", text: "Class by class" }),
    make("p", {
      class: "quiet",
      text:
        "Found: of the images with this label, the share that the model finds (recall). " +
        "Right when named: of those that it gives this name, the share with this label (precision).",
    }),
    make(
      "div",
      { class: "scroll", tabindex: "0", role: "group", "aria-label": "Class by class" },
      make(
        "table",
        { class: "per-class" },
        make(
          "thead",
          {},
          make("tr", {}, ...head.map(([text, title]) => make("th", { scope: "col", text, title: title ?? null }))),
        ),
        make("tbody", {}, ...rows),
      ),
    ),
  );
}

function share(value, n) {
  const known = n > 0 && value !== null && !Number.isNaN(value);
  return make(
    "td",
    {},
    make(
      "span",
      { class: "cell" },
      known && make("span", { class: "meter" }, make("i", { vars: { "--share": `${100 * value}%` } })),
      make("span", { text: known ? percent(value) : "–" }),
    ),
  );
}
