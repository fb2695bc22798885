/** From the bytes of an image file to upright sRGB pixels, as data/images.py has them. */

import { conversionToSrgb } from "./colours.js";
import { contained } from "./containers.js";
import { decodedSmall } from "./jpeg.js";
import { Refusal } from "./refusal.js";

const MAX_PIXELS = 178956970; // as data/images.py has it
const STRIP_ROWS = 512; // read from the canvas at once: whole photographs are more than phones allow

/**
 * The picture in a file. A JPEG may come at a half, a quarter or an eighth of its size, so long as its shorter side keeps
 * `shorterSide` pixels.
 * @param {Blob} file
 * @param {number} shorterSide 0: always in full
 * @returns {Promise<import("./resample.js").Picture>}
 */
export async function decoded(file, shorterSide) {
  const bytes = new Uint8Array(await file.arrayBuffer()), { type, parts, orientation, profile, space, jpeg } = contained(bytes);
  const convert = conversionToSrgb(await profile, space);
  if (jpeg && jpeg.width * jpeg.height > MAX_PIXELS) throw new Refusal("more than 178 million pixels");
  const factor = jpeg && shorterSide ? reduction(jpeg.width, jpeg.height, shorterSide) : 1;
  if (factor === 1) return upright(await shown(new Blob(parts, { type }), convert), orientation);
  const picture = decodedSmall(bytes, factor);
  convert?.(picture.rgb, 3);
  return upright(picture, orientation);
}

/** What the browser makes of a file, in full. */
async function shown(file, convert) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  } catch {
    throw new Refusal("the image is damaged, or of a kind that this browser does not read");
  }
  try {
    if (bitmap.width * bitmap.height > MAX_PIXELS) throw new Refusal("more than 178 million pixels");
    return readBitmap(bitmap, convert);
  } finally {
    bitmap.close();
  }
}

/** How many times smaller Pillow's draft mode decodes a JPEG. */
function reduction(width, height, shorterSide) {
  const ratio = shorterSide / Math.min(width, height);
  const wanted = [width, height].map((side) => Math.max(1, roundHalfEven(side * ratio)));
  const scale = Math.min(Math.floor(width / wanted[0]), Math.floor(height / wanted[1]));
  return [8, 4, 2].find((factor) => scale >= factor) ?? 1;
}

/** Python's round. */
export function roundHalfEven(value) {
  const low = Math.floor(value);
  return value - low === 0.5 ? low + (low % 2) : Math.round(value);
}

function readBitmap(bitmap, convert) {
  const { width, height } = bitmap, rgb = new Uint8Array(width * height * 3);
  const canvas = new OffscreenCanvas(width, Math.min(STRIP_ROWS, height));
  const context = canvas.getContext("2d", { willReadFrequently: true, colorSpace: "srgb" });
  if (!context) throw new Refusal(`${width} x ${height} pixels: more than this browser can draw`);
  for (let top = 0; top < height; top += STRIP_ROWS) {
    context.clearRect(0, 0, width, STRIP_ROWS);
    context.drawImage(bitmap, 0, -top);
    const { data } = context.getImageData(0, 0, width, Math.min(STRIP_ROWS, height - top));
    if (convert && isTranslucent(data)) {
      throw new Refusal("transparent, in colours other than sRGB: browsers round these; save it in sRGB or without transparency");
    }
    convert?.(data, 4);
    onWhite(data, rgb, top * width * 3);
  }
  return { width, height, rgb };
}

function isTranslucent(data) {
  for (let at = 3; at < data.length; at += 4) if (data[at] !== 255) return true;
  return false;
}

/** Writes RGBA pixels on white into `rgb`, from `to` on. */
function onWhite(data, rgb, to) {
  for (let at = 0; at < data.length; at += 4, to += 3) {
    const alpha = data[at + 3];
    for (let band = 0; band < 3; band += 1) {
      rgb[to + band] = alpha === 255 ? data[at + band] : Math.round((data[at + band] * alpha + 255 * (255 - alpha)) / 255);
    }
  }
}

/** The picture turned as EXIF says (TIFF 6.0, tag 274). */
function upright(picture, orientation) {
  if (!(orientation >= 2 && orientation <= 8)) return picture;
  const { width, height, rgb } = picture, swaps = orientation >= 5;
  const [across, down] = swaps ? [height, width] : [width, height], out = new Uint8Array(rgb.length);
  const flipsX = [2, 3, 7, 8].includes(orientation), flipsY = [3, 4, 6, 7].includes(orientation);
  for (let y = 0, to = 0; y < down; y += 1) {
    for (let x = 0; x < across; x += 1, to += 3) {
      const [column, row] = swaps ? [y, x] : [x, y];
      const at = ((flipsY ? height - 1 - row : row) * width + (flipsX ? width - 1 - column : column)) * 3;
      out[to] = rgb[at];
      out[to + 1] = rgb[at + 1];
      out[to + 2] = rgb[at + 2];
    }
  }
  return { width: across, height: down, rgb: out };
}
