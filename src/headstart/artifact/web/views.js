/** From a picture to the square views that the network sees, as data/preprocess.py has them. */

import { roundHalfEven } from "./pixels.js";
import { Refusal } from "./refusal.js";
import { resized } from "./resample.js";

const WHOLE_PIXELS = 1 << 24; // beyond this Python resizes a strip in another way

/**
 * The views of a picture, one after the other: n_views x size x size x 3 bytes.
 * @param {import("./resample.js").Picture} picture
 * @param {object} preprocess as model.json has it
 */
export function views(picture, preprocess) {
  const side = preprocess.size_px, length = side * side * 3;
  const plain = preprocess.cuts.map((cut) => CUTTERS[cut](picture, preprocess));
  const all = plain.flatMap((view) => (preprocess.mirrored ? [view, mirrored(view, side)] : [view]));
  const out = new Uint8Array(all.length * length);
  all.forEach((view, i) => out.set(view, i * length));
  return out;
}

const CUTTERS = {
  crop(picture, { size_px: side, resize_px: shorter, interpolation, rows_may_be_first: rowsMayBeFirst }) {
    const { width: w, height: h } = picture;
    const [width, height] = w <= h ? [shorter, Math.trunc((shorter * h) / w)] : [Math.trunc((shorter * w) / h), shorter];
    if (width * height > WHOLE_PIXELS) throw new Refusal("too long and narrow to be answered here");
    const window = { left: roundHalfEven((width - side) / 2), top: roundHalfEven((height - side) / 2), width: side, height: side };
    return resized(picture, width, height, interpolation, rowsMayBeFirst, window).rgb;
  },

  whole(picture, { size_px: side, interpolation, rows_may_be_first: rowsMayBeFirst }) {
    return resized(picture, side, side, interpolation, rowsMayBeFirst).rgb;
  },

  pad(picture, { size_px: side, interpolation, mean, rows_may_be_first: rowsMayBeFirst }) {
    const scale = side / Math.max(picture.width, picture.height);
    const [width, height] = [picture.width, picture.height].map((length) => Math.max(1, roundHalfEven(length * scale)));
    const small = resized(picture, width, height, interpolation, rowsMayBeFirst);
    const ground = mean.map((level) => roundHalfEven(255 * level));
    const out = Uint8Array.from({ length: side * side * 3 }, (_, i) => ground[i % 3]);
    const left = (side - width) >> 1, top = (side - height) >> 1;
    for (let row = 0; row < height; row += 1) {
      out.set(small.rgb.subarray(row * width * 3, (row + 1) * width * 3), ((top + row) * side + left) * 3);
    }
    return out;
  },
};

function mirrored(view, side) {
  const out = new Uint8Array(view.length);
  for (let row = 0; row < side; row += 1) {
    for (let x = 0; x < side; x += 1) {
      const from = (row * side + x) * 3, to = (row * side + side - 1 - x) * 3;
      out[to] = view[from];
      out[to + 1] = view[from + 1];
      out[to + 2] = view[from + 2];
    }
  }
  return out;
}
