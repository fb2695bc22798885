/**
 * Colours of other spaces, turned into sRGB by the ICC profile of a file: those made of curves and a matrix, as cameras, screens
 * and photo editors write them. Computed here, because browsers differ. Relative colorimetric, as in data/colour.py.
 */

import { latin } from "./metadata.js";
import { Refusal } from "./refusal.js";

// XYZ under D50 -> linear sRGB: the inverse of the colorants in the sRGB profile of lcms, which Python uses.
const TO_SRGB = [3.1341864, -1.617209, -0.4906941, -0.9787485, 1.9161301, 0.0334334, 0.0719639, -0.2289939, 1.4057537];
// A profile that moves no colour by more describes sRGB: its images stay as they are (data/colour.py).
const NEAR_LEVELS = 10, NEAR_MEAN_LEVELS = 2;
const GREY_STEPS = 32;
const ONE = 1 << 14; // light in fixed point, as lcms computes with images of 8 bits
const MAX_PROFILE_BYTES = 8 << 20;

/**
 * A function that changes pixels of 3 or 4 bytes to sRGB in place; null if there is nothing to change: the profile says sRGB, fits other
 * pixels, or is damaged. Throws a Refusal for a profile made of tables.
 * @param {Uint8Array | null} profile
 * @param {"RGB " | "GRAY" | ""} space of the profiles that fit the pixels
 * @returns {((pixels: Uint8Array | Uint8ClampedArray, stride: number) => void) | null}
 */
export function conversionToSrgb(profile, space) {
  if (!profile || profile.length < 132 || profile.length > MAX_PROFILE_BYTES || latin(profile, 16, 4) !== space) return null;
  const convert = conversion(profile, space);
  return convert && !changesNothing(convert, space) ? convert : null;
}

/** The conversion of a profile; null if it is damaged, as viewers then show the pixels as they are. */
function conversion(profile, space) {
  const tags = tagsOf(profile);
  if ([...tags.keys()].some((name) => /^A2B\d$/.test(name))) {
    throw new Refusal("its colour profile is a table, as printers have them: browsers differ on these; save it in sRGB");
  }
  if (space === "GRAY") {
    const curve = curveOf(tags.get("kTRC"));
    return curve && greysBy(curve);
  }
  const curves = ["rTRC", "gTRC", "bTRC"].map((name) => levels(curveOf(tags.get(name))));
  if (curves.includes(null)) return null;
  const columns = ["rXYZ", "gXYZ", "bXYZ"].map((name) => numbers(tags.get(name)));
  if (columns.includes(null)) return null;
  const matrix = [0, 1, 2].flatMap((row) =>
    columns.map((column) => fixed([0, 1, 2].reduce((sum, i) => sum + TO_SRGB[3 * row + i] * column[i], 0))));
  return (pixels, stride) => colours(pixels, stride, curves, matrix);
}

function tagsOf(profile) {
  const view = new DataView(profile.buffer, profile.byteOffset, profile.byteLength), tags = new Map();
  for (let i = 0; i < Math.min(view.getUint32(128), 100) && 144 + 12 * i <= profile.length; i += 1) {
    const [at, length] = [view.getUint32(136 + 12 * i), view.getUint32(140 + 12 * i)];
    if (at + length <= profile.length) tags.set(latin(profile, 132 + 12 * i, 4), profile.subarray(at, at + length));
  }
  return tags;
}

function numbers(tag) {
  if (!tag || tag.length < 20) return null;
  const view = new DataView(tag.buffer, tag.byteOffset, tag.byteLength);
  return [8, 12, 16].map((at) => view.getInt32(at) / 65536);
}

/** The linear light of each of the 256 levels, by a curve of an ICC profile (ICC.1:2022, 10.6 and 10.18). */
function levels(curve) {
  return curve && Int32Array.from({ length: 256 }, (_, level) => fixed(curve(level / 255)));
}

function fixed(value) {
  return Math.floor(value * ONE + 0.5);
}

function curveOf(tag) {
  if (!tag || tag.length < 12) return null;
  const view = new DataView(tag.buffer, tag.byteOffset, tag.byteLength), kind = latin(tag, 0, 4);
  if (kind === "para") return parametric(view);
  const n = view.getUint32(8);
  if (kind !== "curv" || 12 + 2 * n > tag.length) return null;
  if (n === 0) return (x) => x;
  if (n === 1) return (x) => x ** (view.getUint16(12) / 256);
  return (x) => {
    const word = Math.floor(x * 65535 + 0.5), at = (n - 1) * word, place = at + Math.floor((at + 0x7fff) / 0xffff);
    if (word === 0xffff) return view.getUint16(10 + 2 * n) / 65535;
    const low = Math.floor(place / 65536), rest = place % 65536, from = view.getUint16(12 + 2 * low);
    return (from + Math.floor(((view.getUint16(14 + 2 * low) - from) * rest + 0x8000) / 65536)) / 65535;
  };
}

function parametric(view) {
  const kind = view.getUint16(8), n = [1, 3, 4, 5, 7][kind];
  if (!n || view.byteLength < 12 + 4 * n) return null;
  const [g, a = 1, b = 0, c = 0, d = 0, e = 0, f = 0] = Array.from({ length: n }, (_, i) => view.getInt32(12 + 4 * i) / 65536);
  if (kind === 0) return (x) => x ** g;
  if (kind === 1) return (x) => (x >= -b / a ? (a * x + b) ** g : 0);
  if (kind === 2) return (x) => (x >= -b / a ? (a * x + b) ** g + c : c);
  return (x) => (x >= d ? (a * x + b) ** g + e : c * x + f);
}

/** The level of each amount of light, rounded to 16 bits and then to 8. */
const ENCODED = Uint8Array.from({ length: ONE + 1 }, (_, step) => levelOf(encodedWord(step / ONE)));

function encodedWord(light) {
  const share = light < ((0.04045 + 0.055) / 1.055) ** 2.4 ? light * 12.92 : 1.055 * light ** (1 / 2.4) - 0.055;
  return Math.floor(Math.min(Math.max(share, 0), 1) * 65535 + 0.5);
}

function levelOf(word) {
  return Math.floor((word * 65281 + 8388608) / 16777216);
}

function encoded(light) {
  return ENCODED[light <= 0 ? 0 : light >= ONE ? ONE : light];
}

/** Greys, which lcms interpolates between 33 levels. */
function greysBy(curve) {
  const nodes = Array.from({ length: GREY_STEPS + 1 }, (_, i) => encodedWord(curve(i / GREY_STEPS)));
  const table = Uint8Array.from({ length: 256 }, (_, level) => {
    const at = (level / 255) * GREY_STEPS, low = Math.min(Math.floor(at), GREY_STEPS - 1), share = at - low;
    return levelOf(Math.floor(nodes[low] * (1 - share) + nodes[low + 1] * share + 0.5));
  });
  return (pixels, stride) => {
    for (let at = 0; at < pixels.length; at += stride) pixels[at] = pixels[at + 1] = pixels[at + 2] = table[pixels[at]];
  };
}

function colours(pixels, stride, [red, green, blue], m) {
  for (let at = 0; at < pixels.length; at += stride) {
    const r = red[pixels[at]], g = green[pixels[at + 1]], b = blue[pixels[at + 2]];
    pixels[at] = encoded((m[0] * r + m[1] * g + m[2] * b + ONE / 2) >> 14);
    pixels[at + 1] = encoded((m[3] * r + m[4] * g + m[5] * b + ONE / 2) >> 14);
    pixels[at + 2] = encoded((m[6] * r + m[7] * g + m[8] * b + ONE / 2) >> 14);
  }
}

function changesNothing(convert, space) {
  const steps = Array.from({ length: 18 }, (_, i) => 15 * i);
  const grid = space === "GRAY"
    ? Array.from({ length: 256 }, (_, level) => [level, level, level, 255])
    : steps.flatMap((r) => steps.flatMap((g) => steps.map((b) => [r, g, b, 255])));
  const before = Uint8ClampedArray.from(grid.flat()), after = before.slice();
  convert(after, 4);
  let [most, sum] = [0, 0];
  for (let at = 0; at < before.length; at += 1) {
    const moved = Math.abs(after[at] - before[at]);
    most = Math.max(most, moved);
    sum += moved;
  }
  return most <= NEAR_LEVELS && sum / (0.75 * before.length) <= NEAR_MEAN_LEVELS;
}
