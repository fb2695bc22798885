/** Pictures of the images that come next: asked for and decoded ahead, so that they are there at once. */

import { ask, picture, thumbnail } from "./api.js";
import { make } from "./elements.js";
import { fact, facts } from "./facts.js";

const KEPT = 24;
const ready = new Map(); // digest -> img
const small = new Map();

function remember(map, digest, source, most, priority) {
  let image = map.get(digest);
  if (!image) {
    image = make("img", { fetchpriority: priority, alt: "", draggable: "false", src: source(digest) });
    image.decode().catch(() => {
      map.delete(digest);
    }); // told where it is shown
  }
  map.delete(digest);
  map.set(digest, image);
  if (map.size > most) map.delete(map.keys().next().value);
  return image;
}

/** The large picture of an image, as an element that may be decoded already. */
export const large = (digest) => remember(ready, digest, picture, KEPT, "high");

/** The server's reason why there is no picture: its file vanished or changed. */
export async function reasonFor(address) {
  try {
    await ask(address);
  } catch (error) {
    return `${error.message} ${error.hint ?? ""}`.trim();
  }
  return "The picture cannot be shown.";
}

/** Puts the reason in a picture's place should it not come. @param {HTMLImageElement} image */
export function orReason(image) {
  const replace = async () => {
    const text = make("span", { class: "missing", text: "No picture" });
    image.replaceWith(text);
    text.textContent = await reasonFor(image.getAttribute("src"));
  };
  image.addEventListener("error", replace, { once: true });
  if (image.complete && image.src && !image.naturalWidth) replace();
  return image;
}

/** All rows that an item of a queue shows. */
const rowsOf = (item) =>
  [item.row, item.other, ...(item.for ?? []), ...(item.against ?? [])].filter((row) => row !== null && row !== undefined);

/** Has at hand what an item shows. `whole`: the small pictures too, which come after the large ones of others. */
export async function prepare(item, whole = true) {
  await facts(rowsOf(item));
  const [first, ...others] = [item.row, item.other].filter((row) => row !== null && row !== undefined);
  for (const row of [first, ...others]) if (fact(row)) large(fact(row).digest);
  for (const row of [...(item.for ?? []), ...(item.against ?? [])]) {
    if (fact(row) && whole) remember(small, fact(row).digest, (digest) => thumbnail(digest), KEPT * 12, "low");
  }
}
