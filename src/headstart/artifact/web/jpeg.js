/**
 * A large JPEG at a half, a quarter or an eighth of its size, as libjpeg decodes it for Python, to the last bit: browsers only
 * decode in full, and means of what they show differ by enough to move probabilities by some hundredths.
 */

import { INVERSE } from "./jpeg_dct.js";
import { readScans } from "./jpeg_scans.js";
import { Refusal } from "./refusal.js";

/**
 * @param {Uint8Array} bytes of a whole file
 * @param {2 | 4 | 8} factor
 * @returns {import("./resample.js").Picture}
 */
export function decodedSmall(bytes, factor) {
  try {
    return small(readScans(bytes), factor);
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal("the image is damaged"); // its parts contradict each other
  }
}

function small(frame, factor) {
  const width = Math.ceil(frame.width / factor), height = Math.ceil(frame.height / factor);
  const planes = frame.components.map((component) => plane(component, frame, 8 / factor, width, height));
  const rgb = new Uint8Array(width * height * 3);
  if (planes.length === 1) {
    for (let i = 0, at = 0; at < rgb.length; i += 1, at += 3) rgb[at] = rgb[at + 1] = rgb[at + 2] = planes[0][i];
  } else if (isRgb(frame)) {
    for (let i = 0, at = 0; at < rgb.length; i += 1, at += 3) for (let band = 0; band < 3; band += 1) rgb[at + band] = planes[band][i];
  } else {
    colour(planes, rgb);
  }
  return { width, height, rgb };
}

/** Whether the bands are red, green and blue (jdapimin.c). */
function isRgb({ hasJfif, adobe, components }) {
  if (hasJfif) return false;
  return adobe === null ? components.map(({ id }) => id).join() === "82,71,66" : adobe === 0;
}

/** One band in the size of the result: libjpeg lets coarse bands have larger blocks where it can, and enlarges the others. */
function plane(component, { mostH, mostV }, size, width, height) {
  let own = size;
  while (own < 8 && (mostH * size) % (component.h * own * 2) === 0 && (mostV * size) % (component.v * own * 2) === 0) own *= 2;
  const samples = inverse(component, own), across = (mostH * size) / (component.h * own), down = (mostV * size) / (component.v * own);
  if (across === 1 && down === 1) return cut(samples, component.across * own, width, height);
  if (across === 2 && down === 1) {
    // Enlarging looks at neighbours: only of samples that hold the picture.
    const wide = Math.ceil(width / 2);
    return doubled(cut(samples, component.across * own, wide, height), wide, width, height, size > 1);
  }
  if (across === 1 && down === 2) {
    const high = Math.ceil(height / 2), flat = cut(samples, component.across * own, width, high);
    return turned(doubled(turned(flat, width, high), high, height, width, size > 1), height, width);
  }
  throw new Refusal("a JPEG whose colours are sampled in a rare way: save it as an ordinary JPEG or as PNG");
}

function inverse({ across, down, coefficients, steps }, size) {
  const transform = INVERSE[size], stride = across * size, out = new Uint8ClampedArray(stride * down * size);
  const block = new Int32Array(64);
  for (let y = 0, from = 0; y < down; y += 1) {
    for (let x = 0; x < across; x += 1, from += 64) {
      for (let k = 0; k < 64; k += 1) block[k] = coefficients[from + k] * steps[k];
      transform(block, out, y * size * stride + x * size, stride);
    }
  }
  return out;
}

function cut(samples, stride, width, height) {
  const out = new Uint8Array(width * height);
  for (let y = 0; y < height; y += 1) out.set(samples.subarray(y * stride, y * stride + width), y * width);
  return out;
}

/** Twice as wide: three quarters of the nearer sample and one of the farther (jdsample.c), or each sample twice. */
function doubled(samples, wide, width, height, isSmooth) {
  const out = new Uint8Array(width * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) {
      const i = y * wide + (x >> 1), other = x & 1 ? Math.min(wide - 1, (x >> 1) + 1) : Math.max(0, (x >> 1) - 1);
      out[y * width + x] = isSmooth ? (3 * samples[i] + samples[y * wide + other] + (x & 1 ? 2 : 1)) >> 2 : samples[i];
    }
  }
  return out;
}

/** Rows as columns. */
function turned(samples, width, height) {
  const out = new Uint8Array(samples.length);
  for (let y = 0; y < height; y += 1) for (let x = 0; x < width; x += 1) out[x * height + y] = samples[y * width + x];
  return out;
}

const SIXTEEN = (value) => Math.floor(value * 65536 + 0.5);
const [RED, GREEN_R, GREEN_B, BLUE] = [1.402, 0.71414, 0.34414, 1.772].map(SIXTEEN);

/** YCbCr as RGB (jdcolor.c). */
function colour([luma, blue, red], rgb) {
  const out = new Uint8ClampedArray(rgb.buffer);
  for (let i = 0, at = 0; at < out.length; i += 1, at += 3) {
    const y = luma[i], cb = blue[i] - 128, cr = red[i] - 128;
    out[at] = y + ((RED * cr + 32768) >> 16);
    out[at + 1] = y + ((-GREEN_B * cb - GREEN_R * cr + 32768) >> 16);
    out[at + 2] = y + ((BLUE * cb + 32768) >> 16);
  }
}
