/** The accuracy with wrong labels taken out, beside the naive one. */

import { read } from "./api.js";
import { count, make, percent } from "./elements.js";
import { address } from "./state.js";

/** A card with the estimate and the way to its queue. @returns {Promise<HTMLElement>} */
export async function reviewedCard(signal) {
  const known = await read("api/reviewed", signal);
  const left = Math.max(0, known.n_needed - known.n_done);
  const has = known.accuracy !== null && known.accuracy !== undefined;
  return make(
    "section",
    { class: "card", "aria-labelledby": "reviewed-title" },
    make("h2", { id: "reviewed-title", text: "Accuracy with wrong labels taken out" }),
    has && make("p", { class: "big number", text: percent(known.accuracy) }),
    has && make("p", {}, interval(known.accuracy_ci95), ` Against the labels as they were: ${percent(known.naive)}.`),
    known.sentence && make("p", { text: known.sentence }),
    make("p", {
      class: "quiet",
      text:
        "Some of the model's mistakes are wrong labels. You look at its mistakes and at a random sample of the rest; " +
        "from your answers the accuracy against the right labels is estimated.",
    }),
    make(
      "span",
      { class: "meter" },
      make("i", { vars: { "--share": `${known.n_needed ? (100 * known.n_done) / known.n_needed : 0}%` } }),
    ),
    make("p", { class: "quiet number", text: `${count(known.n_done)} of ${count(known.n_needed)} images looked at` }),
    left > 0 &&
      make(
        "p",
        {},
        make("a", { href: address("review", { queue: "sample" }), text: `Look at the next of ${count(left)} images` }),
      ),
  );
}

/** "95 % interval: 94.1 % to 97.9 %". */
export function interval(bounds) {
  return bounds ? `95 % interval: ${percent(bounds[0])} to ${percent(bounds[1])}.` : "";
}
