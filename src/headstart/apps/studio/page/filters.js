/** The filter: what of the URL's parameters the server is asked for, and the form that changes them. */

import { count, make } from "./elements.js";
import { adjust, go, where } from "./state.js";
import { NONE, store } from "./store.js";

export const SORTS = {
  order: "As scanned",
  suspicion: "Label most doubtful",
  confidence: "Model's confidence",
  unfamiliar: "Unlike the rest",
  like: "Like one image",
  brightness: "Brightness",
  sharpness: "Sharpness",
  size: "Size",
  path: "Path",
  random: "Shuffled",
};
const DESCENDING = new Set(["suspicion", "unfamiliar"]);
const SEARCH_FROM = 12,
  HUNDRED = 100;

const number = (name) => store.classes.indexOf(name);

/**
 * The question to the server that a place in the URL stands for.
 * @param {URLSearchParams} parameters
 */
export function orderOf(parameters) {
  const filter = {};
  for (const name of ["label", "given", "predicted"]) {
    const names = parameters.getAll(name);
    if (names.length) filter[name] = names.map(number);
  }
  for (const name of ["split", "finding", "folder"]) {
    if (parameters.has(name)) filter[name] = parameters.getAll(name);
  }
  for (const name of ["right", "excluded", "decided"]) {
    if (parameters.has(name)) filter[name] = parameters.get(name) === "1";
  }
  for (const name of ["unfamiliar", "unlabelled"]) if (parameters.has(name)) filter[name] = true;
  if (parameters.has("from") || parameters.has("to")) {
    filter.confidence = [Number(parameters.get("from") ?? 0) / HUNDRED, Number(parameters.get("to") ?? HUNDRED) / HUNDRED];
  }
  if (parameters.has("rows")) filter.rows = parameters.get("rows").split(",").map(Number);
  if (parameters.has("like")) filter.like = Number(parameters.get("like"));
  const sort = parameters.get("sort") ?? (parameters.has("like") ? "like" : "order");
  const descending = parameters.has("down") ? parameters.get("down") === "1" : DESCENDING.has(sort);
  return { filter, sort, descending };
}

/** What of the parameters belongs to the filter: name, value and words for a chip. @returns {[string, string, string][]} */
export function chips(parameters) {
  const words = {
    label: (value) => `Label: ${value}`,
    given: (value) => `Label in the data: ${value}`,
    predicted: (value) => `Model says: ${value}`,
    split: (value) => `Split: ${value}`,
    finding: (value) => title(value),
    folder: (value) => `Folder: ${value || "."}`,
    right: (value) => (value === "1" ? "Model agrees" : "Model disagrees"),
    excluded: (value) => (value === "1" ? "Excluded" : "Not excluded"),
    decided: (value) => (value === "1" ? "Decided on" : "Not decided on"),
    unfamiliar: () => "Unfamiliar",
    unlabelled: () => "Unlabelled",
    from: (value) => `Confidence from ${value} %`,
    to: (value) => `Confidence to ${value} %`,
    rows: () => "A chosen set",
    lasso: () => "A part of the map",
    like: (value) => `Like image ${Number(value) + 1}`,
  };
  return [...parameters].filter(([name]) => name in words).map(([name, value]) => [name, value, words[name](value)]);
}

const title = (name) => store.project.checks.find((check) => check.name === name)?.title ?? name;

/** Takes one value out of the filter. */
export function without(name, value) {
  const left = where()
    .parameters.getAll(name)
    .filter((one) => one !== value);
  adjust({ [name]: left, at: null });
}

/** How often each number stands in a column of labels. */
function tally(name, size) {
  const sums = new Uint32Array(size + 1);
  for (const value of store.columns.get(name) ?? []) sums[value === NONE ? size : value] += 1;
  return sums;
}

function tallyFindings() {
  const sums = store.project.checks.map(() => 0);
  for (const bits of store.columns.get("findings") ?? []) {
    if (bits)
      sums.forEach((_, bit) => {
        if (bits & (1 << bit)) sums[bit] += 1;
      });
  }
  return sums;
}

/** The form; it is drawn anew at every move. @returns {HTMLElement} */
export function filterForm() {
  const { parameters } = where();
  const { project } = store;
  const labels = tally("label", store.classes.length),
    predictions = tally("predicted", store.classes.length);
  const found = tallyFindings();
  const classes = (sums) => store.classes.map((name, index) => [name, name, sums[index]]);
  const withFindings = project.checks
    .map((check, bit) => [check.name, check.title, found[bit], check.meaning])
    .filter((row) => row[2]);
  const splits = project.splits.map((name) => [name, name]);
  return make(
    "form",
    { class: "filters", "aria-label": "Filter", on: { submit: (event) => event.preventDefault() } },
    many("label", "Label", classes(labels), [["unlabelled", "no label", labels.at(-1)]]),
    many("predicted", "Model says", predictions.at(-1) === store.n ? [] : classes(predictions)),
    one("right", "Label and model", [
      ["", "any"],
      ["0", "disagree"],
      ["1", "agree"],
    ]),
    confidence(parameters),
    many("finding", "Found by the audit", withFindings, [["unfamiliar", "unfamiliar"]]),
    many("split", "Split", splits.length > 1 ? splits : []),
    one("excluded", "Excluded", [
      ["", "any"],
      ["0", "no"],
      ["1", "yes"],
    ]),
    one("decided", "Decided on by you", [
      ["", "any"],
      ["0", "not yet"],
      ["1", "yes"],
    ]),
    many("folder", "Folder", project.folders.length > 1 ? project.folders.map((name) => [name, name || "."]) : []),
  );
}

/** A group of boxes; each that is ticked adds what it stands for. */
function many(name, heading, choices, flags = []) {
  if (!choices.length && !flags.length) return null;
  const { parameters } = where();
  const chosen = new Set(parameters.getAll(name));
  const boxes = choices.map(([value, text, sum, meaning]) =>
    box(
      text,
      sum,
      chosen.has(value),
      (on) => {
        const values = where()
          .parameters.getAll(name)
          .filter((one) => one !== value);
        adjust({ [name]: on ? [...values, value] : values, at: null });
      },
      meaning,
      `${name}-${value}`,
    ),
  );
  const more = flags.map(([flag, text, sum]) =>
    box(text, sum, parameters.has(flag), (on) => adjust({ [flag]: on, at: null }), "", flag),
  );
  const list = make("div", { class: "boxes" }, ...more, ...boxes);
  const isOpen = ["label", "finding"].includes(name) || chosen.size > 0;
  const details = make("details", { open: isOpen }, make("summary", { text: heading }));
  if (choices.length > SEARCH_FROM) details.append(search(heading, list));
  details.append(make("fieldset", {}, make("legend", { class: "hidden", text: heading }), list));
  return details;
}

function box(text, sum, checked, act, meaning, id) {
  const input = make("input", { type: "checkbox", checked, id: `filter-${id}`, on: { change: () => act(input.checked) } });
  return make(
    "label",
    { class: "box", title: meaning || null },
    input,
    make("span", { text }),
    sum === undefined ? null : make("span", { class: "quiet number", text: count(sum) }),
  );
}

/** Narrows a long list to what is typed. */
function search(heading, list) {
  return make("input", {
    type: "search",
    placeholder: "Find …",
    "aria-label": `Find in: ${heading}`,
    on: {
      input: (event) => {
        const wanted = event.target.value.toLowerCase();
        for (const element of list.children) element.hidden = !element.textContent.toLowerCase().includes(wanted);
      },
    },
  });
}

function one(name, heading, choices) {
  const now = where().parameters.get(name) ?? "";
  const options = choices.map(([value, text]) => make("option", { value, text, selected: value === now }));
  const select = make(
    "select",
    { id: `filter-${name}`, on: { change: () => adjust({ [name]: select.value, at: null }) } },
    ...options,
  );
  return make("label", { class: "line" }, make("span", { text: heading }), select);
}

function confidence(parameters) {
  const field = (name, text, empty) =>
    make("input", {
      type: "number",
      min: 0,
      max: HUNDRED,
      id: `filter-${name}`,
      "aria-label": text,
      placeholder: empty,
      value: parameters.get(name),
      on: { change: (event) => adjust({ [name]: event.target.value, at: null }) },
    });
  return make(
    "div",
    { class: "line", role: "group", "aria-label": "Model's confidence in per cent" },
    make("span", { text: "Confidence, %" }),
    make(
      "span",
      { class: "pair" },
      field("from", "Confidence from, in per cent", "0"),
      make("span", { text: "to" }),
      field("to", "Confidence to, in per cent", "100"),
    ),
  );
}

/** Shows all images, sorted as before. */
export function clearFilter() {
  const { parameters } = where();
  go("browse", { sort: parameters.get("sort"), down: parameters.get("down") });
}
