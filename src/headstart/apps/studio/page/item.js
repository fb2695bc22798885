/** One item of a queue, drawn: its pictures, what is asked, what can be decided, and images that speak for and against. */

import { classButtons } from "./classes.js";
import { keyed, make } from "./elements.js";
import { fact } from "./facts.js";
import { large, orReason } from "./pictures.js";
import { NONE, store } from "./store.js";
import { strip } from "./strip.js";
import { baseName, sentence } from "./tile.js";
import { tell } from "./told.js";

export const SIDES = ["left", "right"];

/**
 * The picture of an image with its label.
 * @param {number} row
 * @param {{side: number, active: number, turn: () => void}|null} pair where it stands in a pair, if it is one of two
 */
export function shot(row, pair) {
  const known = fact(row);
  const image = large(known.digest);
  image.alt = sentence(row, known.path);
  const frame = make("div", { class: "frame" }, image);
  orReason(image);
  const label = store.value("excluded", row) ? "excluded" : store.className(store.value("label", row));
  const about = [pair && SIDES[pair.side], baseName(known.path), known.split].filter(Boolean).join(", ");
  return make(
    "figure",
    { class: "shot", "aria-current": pair?.side === pair?.active && pair !== null, on: pair ? { click: pair.turn } : {} },
    frame,
    make("figcaption", {}, make("strong", { text: label }), ` ${about}`),
  );
}

/**
 * What stands beside the picture.
 * @param {import("./decider.js").Decider} decider
 * @param {string} side "left" or "right" of a pair, "" for a single image
 * @returns {HTMLElement[]}
 */
export function panel(decider, side) {
  const { item, active } = decider;
  const findings = fact(active).findings.filter((text) => text !== item.sentence);
  return [
    make("p", { class: "ask", text: item.sentence }),
    ...findings.map((text) => make("p", { class: "finding", text })),
    make("p", { class: "quiet", hidden: !side, text: "Arrow keys choose the left or the right image." }),
    verdict(decider, side),
    make("h2", { text: side ? `Label of the ${side} image` : "Label as" }),
    classButtons((number) => decider.label(number)),
    strips(item, store.value("label", active)),
  ];
}

const known = (number) => number !== null && number !== undefined && number !== NONE;

function verdict(decider, side) {
  const { suggestion } = decider.item;
  const label = store.value("label", decider.active);
  const keep = side ? "Keep both" : `Keep ${store.className(label)}`;
  return make(
    "div",
    { class: "verdict", role: "group", "aria-label": "Decide" },
    known(label) && keyed("k", keep, () => decider.keep(), { id: "keep" }),
    known(suggestion) &&
      suggestion !== label &&
      keyed("s", `Take ${store.className(suggestion)}`, () => decider.take(), { class: "main", id: "take" }),
    keyed("x", side ? `Exclude the ${side} one` : "Exclude", () => decider.exclude(), { id: "exclude" }),
    keyed("n", "Skip", () => decider.skip(), { id: "skip-image" }),
    keyed("u", "Undo", () => decider.turn("undo"), { class: "plain", id: "undo-image" }),
    keyed("o", "Open", () => decider.open(), { class: "plain", id: "open-image" }),
  );
}

/** The nearest labelled images of the suggested class, and of the class that the image carries. */
function strips(item, label) {
  const speak = (number, other) => (known(number) ? `Nearest images labelled ${store.className(number)}` : other);
  const place = make("div", { class: "panel" });
  Promise.all([
    strip(speak(item.suggestion, "Nearest labelled images"), item.for),
    strip(speak(label, "Nearest images with other labels"), item.against),
  ]).then((found) => place.append(...found.filter(Boolean)), tell);
  return place;
}
