/** The confusion matrix; with many classes, the part of it where most goes wrong. */

import { count, make } from "./elements.js";
import { address } from "./state.js";
import { store } from "./store.js";

const MOST = 16,
  PAIRS = 12,
  STRONGEST = 45;

/** @param {{confusion: number[][]}} known @returns {HTMLElement} */
export function confusion({ confusion: matrix }) {
  const pairs = matrix
    .flatMap((row, label) => row.map((n, said) => ({ label, said, n })))
    .filter(({ label, said, n }) => label !== said && n > 0)
    .sort((one, other) => other.n - one.n);
  const shown = matrix.length <= MOST ? matrix.map((_, number) => number) : mostConfused(pairs);
  const note =
    shown.length < matrix.length &&
    make("p", { class: "quiet", text: `Shown are ${shown.length} of ${matrix.length} classes: those that are confused most.` });
  const list = make(
    "ol",
    {},
    ...pairs.slice(0, PAIRS).map(({ label, said, n }) =>
      make(
        "li",
        {},
        make("a", {
          href: cellAddress(label, said),
          text: `${count(n)} × ${store.className(label)} taken for ${store.className(said)}`,
        }),
      ),
    ),
  );
  return make(
    "div",
    { class: "column" },
    note,
    make("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Confusion matrix" }, table(matrix, shown)),
    pairs.length ? make("h3", { text: "Most frequent mistakes" }) : make("p", { text: "No mistake." }),
    list,
  );
}

function mostConfused(pairs) {
  const found = new Set();
  for (const { label, said } of pairs) {
    if (found.size >= MOST) break;
    found.add(label).add(said);
  }
  return [...found].slice(0, MOST).sort((one, other) => one - other);
}

const cellAddress = (label, said) => address("browse", { label: store.className(label), predicted: store.className(said) });

function table(matrix, shown) {
  const worst = Math.max(
    1,
    ...shown.flatMap((label) => shown.filter((said) => said !== label).map((said) => matrix[label][said])),
  );
  const cell = (label, said) => {
    const n = matrix[label][said],
      all = matrix[label].reduce((sum, one) => sum + one, 0);
    const share = label === said ? n / Math.max(1, all) : n / worst;
    const text = `${count(n)} labelled ${store.className(label)}, model says ${store.className(said)}`;
    return make(
      "td",
      { class: label === said ? "right" : "wrong", vars: { "--heat": `${Math.round(STRONGEST * share)}%` } },
      n
        ? make("a", { href: cellAddress(label, said), text: count(n), "aria-label": text, title: text })
        : make("span", { class: "none", text: "0" }),
    );
  };
  return make(
    "table",
    { class: "confusion" },
    make("caption", { class: "hidden", text: "Labels in rows, the model's answers in columns" }),
    make(
      "thead",
      {},
      make(
        "tr",
        {},
        make("td", {}),
        ...shown.map((said) => make("th", { scope: "col", text: store.className(said), title: store.className(said) })),
      ),
    ),
    make(
      "tbody",
      {},
      ...shown.map((label) =>
        make(
          "tr",
          {},
          make("th", { scope: "row", text: store.className(label), title: store.className(label) }),
          ...shown.map((said) => cell(label, said)),
        ),
      ),
    ),
  );
}
