/** What points on the map are coloured by: groups with a name, a number of images and a colour. */

import { COLOURS, palette, pixelOf } from "./palette.js";
import { NONE, store } from "./store.js";

export const KINDS = { label: "Label", predicted: "Model says", finding: "Found by the audit", right: "Label and model" };

/**
 * @param {string} kind a key of KINDS
 * @returns {{groups: Uint8Array, legend: {name: string, n: number, colour: string}[]}} the legend's last is all that has no
 *   colour of its own
 */
export function groupsOf(kind) {
  if (kind === "finding")
    return byNames(
      findingOf,
      store.project.checks.map((check) => check.title),
      "Nothing found",
    );
  if (kind === "right") return byNames(rightOf, ["Disagree", "Agree"], "No label, or no model");
  const values = store.columns.get(kind);
  return byNames(
    (row) => values[row],
    store.classes,
    kind === "label" ? "No label, and smaller classes" : "No answer, and smaller classes",
  );
}

function findingOf(row) {
  const bits = store.value("findings", row);
  return bits ? Math.log2(bits & -bits) : NONE;
}

function rightOf(row) {
  const label = store.value("label", row),
    predicted = store.value("predicted", row);
  return label === NONE || predicted === NONE ? NONE : Number(label === predicted);
}

/** The most frequent numbers get a colour. */
function byNames(numberOf, names, other) {
  const numbers = new Int32Array(store.n),
    sums = new Uint32Array(names.length);
  for (let row = 0; row < numbers.length; row += 1) {
    numbers[row] = numberOf(row);
    if (numbers[row] !== NONE) sums[numbers[row]] += 1;
  }
  const chosen = names
    .map((_, number) => number)
    .filter((number) => sums[number])
    .sort((one, next) => sums[next] - sums[one])
    .slice(0, COLOURS)
    .sort((one, next) => one - next);
  const { colours, other: grey } = palette();
  const rest = chosen.length;
  const groupOf = new Uint8Array(names.length).fill(rest);
  chosen.forEach((number, group) => {
    groupOf[number] = group;
  });
  const groups = new Uint8Array(store.n);
  for (let row = 0; row < groups.length; row += 1) groups[row] = numbers[row] === NONE ? rest : groupOf[numbers[row]];
  const legend = chosen.map((number, group) => ({ name: names[number], n: sums[number], colour: colours[group] }));
  const named = legend.reduce((sum, one) => sum + one.n, 0);
  return { groups, legend: [...legend, { name: other, n: store.n - named, colour: grey }] };
}

/** Colours as pixels; where a group is looked at alone, the others are left out. */
export function pixelsOf(legend, only) {
  return Uint32Array.from(legend, ({ colour }, group) => (only === null || only === group ? pixelOf(colour) : 0));
}

/** All others first, then the groups, so that none hides beneath grey. */
export function orderOfGroups(legend) {
  return Uint8Array.from(legend, (_, place) => (place + legend.length - 1) % legend.length);
}
