/** A strip of small images, each a link that opens it. */

import { thumbnail } from "./api.js";
import { make } from "./elements.js";
import { facts } from "./facts.js";
import { orReason } from "./pictures.js";
import { address } from "./state.js";
import { store } from "./store.js";
import { sentence } from "./tile.js";

/**
 * @param {string} heading
 * @param {number[]} rows best first
 * @param {(row: number) => string} [caption] by default the label
 * @returns {Promise<HTMLElement|null>} null for no rows
 */
export async function strip(heading, rows, caption = (row) => store.className(store.value("label", row))) {
  if (!rows?.length) return null;
  const known = await facts(rows);
  const items = known.map((fact) =>
    make(
      "li",
      {},
      make(
        "a",
        {
          href: address("browse", { image: fact.row }),
          title: fact.path,
          "aria-label": sentence(fact.row, fact.path),
        },
        orReason(make("img", { src: thumbnail(fact.digest), alt: "", width: 96, height: 96 })),
        make("span", { text: caption(fact.row) }),
      ),
    ),
  );
  return make(
    "figure",
    { class: "strip" },
    make("figcaption", { text: heading }),
    make("ul", { "aria-label": heading }, ...items),
  );
}
