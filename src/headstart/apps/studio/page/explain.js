/** The class activation map over a picture: where a linear head on pooled features gets its sum from. Exact, and only that. */

import { post, postImage } from "./api.js";
import { button, make } from "./elements.js";
import { trying } from "./told.js";

const STRONGEST = 0.65,
  BYTE = 255;
const COLOUR = [230, 115, 0];

/**
 * A button that asks for the explanation and lays it over the picture.
 * @param {HTMLElement} frame holds the picture
 * @param {{row?: number, image?: Blob}} what
 */
export function explainButton(frame, { row, image }) {
  const place = make("div", { class: "explained" });
  const ask = button(
    "Show where",
    () =>
      trying(async () => {
        if (frame.querySelector("canvas")) {
          frame.querySelector("canvas").remove();
          place.replaceChildren();
          return;
        }
        const answer = image ? await postImage("api/explain", image) : await post("api/explain", { row });
        layOver(frame, heat(answer.map, answer.class));
        place.replaceChildren(make("p", { class: "quiet", text: answer.sentence }));
      }),
    { class: "plain", title: "Which parts of the image speak for the model's answer" },
  );
  return make("div", { class: "explain" }, ask, place);
}

function heat(map, name) {
  const values = map.flat(),
    height = map.length,
    width = map[0].length;
  const highest = Math.max(...values, 0),
    lowest = Math.max(0, Math.min(...values));
  const canvas = make("canvas", {
    class: "heat",
    width,
    height,
    role: "img",
    "aria-label": `Parts that speak for ${name}`,
  });
  const pixels = new ImageData(width, height);
  values.forEach((value, place) => {
    const share = highest > lowest ? Math.max(0, value - lowest) / (highest - lowest) : 0;
    pixels.data.set([...COLOUR, Math.round(BYTE * STRONGEST * share)], 4 * place);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

/** Puts the map exactly over the picture, which need not fill its frame, also when the frame changes its size. */
function layOver(frame, canvas) {
  const image = frame.querySelector("img");
  const put = () => {
    const around = frame.getBoundingClientRect(),
      box = image.getBoundingClientRect();
    const scale = Math.min(box.width / image.naturalWidth, box.height / image.naturalHeight);
    const width = image.naturalWidth * scale,
      height = image.naturalHeight * scale;
    const places = {
      left: box.left - around.left + (box.width - width) / 2,
      top: box.top - around.top + (box.height - height) / 2,
      width,
      height,
    };
    for (const [name, pixels] of Object.entries(places)) canvas.style.setProperty(`--${name}`, `${pixels}px`);
  };
  frame.append(canvas);
  put();
  new ResizeObserver(put).observe(frame);
}
