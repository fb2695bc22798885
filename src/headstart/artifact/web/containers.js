/**
 * Image files before a browser decodes them: what kind they are, what they say of colours and orientation, and the same file
 * without what browsers would apply in ways of their own. What browsers decode differently from Python is refused.
 */

import { latin, orientationOfExif, orientationOfXmp } from "./metadata.js";
import { Refusal } from "./refusal.js";

const RARE_FRAMES = new Map([
  [0xc3, "a lossless JPEG"], [0xc5, "a hierarchical JPEG"], [0xc6, "a hierarchical JPEG"], [0xc7, "a hierarchical JPEG"],
  [0xc9, "a JPEG with arithmetic coding"], [0xca, "a JPEG with arithmetic coding"], [0xcb, "a lossless JPEG"],
  [0xcd, "a hierarchical JPEG"], [0xce, "a hierarchical JPEG"], [0xcf, "a hierarchical JPEG"], [0xf7, "a JPEG-LS file"],
]);
const OTHERS = [
  ["GIF8", "a GIF: animations and placeholders are not read"],
  ["II*\0", "a TIFF: browsers do not read it, or not all of it; save it as PNG or JPEG"],
  ["MM\0*", "a TIFF: browsers do not read it, or not all of it; save it as PNG or JPEG"],
  ["II+\0", "a TIFF: browsers do not read it; save it as PNG or JPEG"],
  ["%PDF", "a PDF, not an image"],
  ["PK\x03\x04", "a zip archive, not an image"],
  ["\0\0\x01\0", "an icon file, not a photograph"],
  ["\0\0\0\x0cjP  ", "JPEG 2000: save it as PNG or JPEG"],
  ["\0\0\0\x0cJXL ", "JPEG XL: save it as PNG or JPEG"],
  ["\xff\x0a", "JPEG XL: save it as PNG or JPEG"],
  ["8BPS", "a Photoshop file: save it as PNG or JPEG"],
];
const HEIC = new Set(["heic", "heix", "hevc", "hevx", "heim", "heis", "hevm", "hevs", "mif1", "msf1"]);
const SMALL_GAP = 0.002; // as data/icc.py has it
const SRGB_POINTS = [0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06];

/**
 * @typedef {object} Contained
 * @property {string} type the media type
 * @property {Uint8Array[]} parts the file without metadata
 * @property {number} orientation 1 to 8, as EXIF has it
 * @property {Uint8Array | null} profile the ICC profile
 * @property {"RGB " | "GRAY" | ""} space of the profiles that fit the pixels
 * @property {{bands: number, width: number, height: number} | null} jpeg what the frame of a JPEG says
 */

/**
 * The parts of an image file. Throws a Refusal for what a browser would decode in another way.
 * @param {Uint8Array} bytes
 * @returns {Contained}
 */
export function contained(bytes) {
  if (!bytes.length) throw new Refusal("the file is empty");
  if (bytes[0] === 0xff && bytes[1] === 0xd8 && bytes[2] === 0xff) return jpeg(bytes);
  if (latin(bytes, 0, 8) === "\x89PNG\r\n\x1a\n") return png(bytes);
  if (latin(bytes, 0, 4) === "RIFF" && latin(bytes, 8, 4) === "WEBP") return webp(bytes);
  if (latin(bytes, 0, 2) === "BM") return bmp(bytes);
  throw new Refusal(whatElse(bytes));
}

function whatElse(bytes) {
  const start = latin(bytes, 0, 64);
  for (const [beginning, reason] of OTHERS) if (start.startsWith(beginning)) return reason;
  if (start.slice(4, 8) === "ftyp") {
    if (start.slice(8, 12) === "avif" || start.slice(8, 12) === "avis") {
      return "an AVIF: browsers compute its colours in different ways; save it as PNG or JPEG";
    }
    if (HEIC.has(start.slice(8, 12))) return "a HEIC photograph, which few browsers read: save it as JPEG";
    return "a video, not an image";
  }
  if (/^P[1-7]\s/.test(start)) return "a PPM, which browsers do not read: save it as PNG";
  return "not an image in a format that is read here (JPEG, PNG, WebP, BMP)";
}

function jpeg(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts = [bytes.subarray(0, 2)], pieces = [];
  let [exif, xmp, frame, at] = [null, null, null, 2];
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff) throw new Refusal("the image is damaged: its header breaks off");
    const marker = bytes[at + 1];
    if (marker === 0xff || marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += marker === 0xff ? 1 : 2;
      continue;
    }
    if (marker === 0xda || marker === 0xd9) break;
    const end = at + 2 + view.getUint16(at + 2), body = bytes.subarray(at + 4, end);
    if (end > bytes.length) throw new Refusal("the image is damaged: it was cut off in its header");
    if (RARE_FRAMES.has(marker)) throw new Refusal(`${RARE_FRAMES.get(marker)}: save it as an ordinary JPEG or as PNG`);
    if (marker >= 0xc0 && marker <= 0xc2) frame = frameOf(body);
    if (marker === 0xe1 && latin(body, 0, 5) === "Exif\0") exif ??= body;
    if (marker === 0xe1 && latin(body, 0, 28) === "http://ns.adobe.com/xap/1.0/") xmp ??= body;
    if (marker === 0xe2 && latin(body, 0, 12) === "ICC_PROFILE\0") pieces.push(body);
    // APP0 and APP14 say how colours are coded; the other application segments are metadata.
    if (marker < 0xe0 || marker > 0xef || marker === 0xe0 || marker === 0xee) parts.push(bytes.subarray(at, end));
    at = end;
  }
  if (!frame) throw new Refusal("the image is damaged: a JPEG cut off in its header");
  if (frame.bands === 4) {
    throw new Refusal("a CMYK JPEG, made for printing: browsers show its colours in different ways; save it in sRGB");
  }
  if (!hasEndOfImage(bytes, at)) throw new Refusal("the image is damaged: it was cut off");
  parts.push(bytes.subarray(at));
  const orientation = (exif && orientationOfExif(exif)) ?? (xmp && orientationOfXmp(xmp)) ?? 1;
  const space = frame.bands === 1 ? "GRAY" : "RGB ";
  return { type: "image/jpeg", parts, orientation, profile: joined(pieces), space, jpeg: frame };
}

function frameOf(body) {
  if (body[0] !== 8) throw new Refusal(`a JPEG of ${body[0]} bits a sample: save it with 8 bits`);
  return { bands: body[5], height: (body[1] << 8) | body[2], width: (body[3] << 8) | body[4] };
}

/** Whether the scans of a JPEG reach its end mark: browsers show what there is of one that was cut off. */
function hasEndOfImage(bytes, begin) {
  for (let at = bytes.lastIndexOf(0xd9); at > begin; at = bytes.lastIndexOf(0xd9, at - 1)) if (bytes[at - 1] === 0xff) return true;
  return false;
}

/** The ICC profile in numbered pieces. */
function joined(pieces) {
  if (!pieces.length) return null;
  const bodies = [...pieces].sort((one, other) => one[12] - other[12]).map((piece) => piece.subarray(14));
  const whole = new Uint8Array(bodies.reduce((sum, body) => sum + body.length, 0));
  let at = 0;
  for (const body of bodies) {
    whole.set(body, at);
    at += body.length;
  }
  return whole;
}

async function inflated(packed) {
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function png(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const parts = [bytes.subarray(0, 8)], said = new Map();
  let [at, isWhole] = [8, false];
  while (at + 12 <= bytes.length) {
    const end = at + 12 + view.getUint32(at), name = latin(bytes, at + 4, 4);
    if (end > bytes.length) break;
    // What is not critical and no transparency is metadata: colours, text, the frames of an animation.
    if (name[0] < "a" || name === "tRNS") parts.push(bytes.subarray(at, end));
    if (name === "iTXt" && latin(bytes, at + 8, 18) === "XML:com.adobe.xmp\0") said.set("xmp", bytes.subarray(at + 8, end - 4));
    if (name !== "IDAT") said.set(name, bytes.subarray(at + 8, end - 4));
    isWhole ||= name === "IEND";
    at = end;
  }
  const header = said.get("IHDR");
  if (!header) throw new Refusal("the image is damaged: a PNG cut off in its header");
  if (!isWhole) throw new Refusal("the image is damaged: it was cut off");
  const [depth, colours] = [header[8], header[9]];
  if (depth === 16) throw new Refusal("a PNG of 16 bits: browsers round it in different ways; save it with 8 bits");
  const frames = said.get("acTL");
  if (frames && new DataView(frames.buffer, frames.byteOffset).getUint32(0) > 1) {
    throw new Refusal("an animation, of which no frame is the photograph: save the frame that is meant");
  }
  const packed = said.get("iCCP");
  if (!packed && !said.has("sRGB")) refuseOwnColours(said);
  const exif = said.get("eXIf"), xmp = said.get("xmp");
  const orientation = (exif && orientationOfExif(exif)) ?? (xmp && orientationOfXmp(xmp)) ?? 1;
  const space = colours === 4 || (colours === 0 && (depth > 1 || said.has("tRNS"))) ? "GRAY" : colours === 0 ? "" : "RGB ";
  const profile = packed ? inflated(packed.subarray(packed.indexOf(0) + 2)).catch(() => null) : null;
  return { type: "image/png", parts, orientation, profile, space, jpeg: null };
}

/** Refuses a PNG that states its colours by numbers other than those of sRGB. */
function refuseOwnColours(said) {
  const numbers = (chunk) => {
    const view = new DataView(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    return Array.from({ length: chunk.length >> 2 }, (_, i) => view.getUint32(4 * i) / 100000);
  };
  const gamma = said.has("gAMA") ? numbers(said.get("gAMA"))[0] : 1 / 2.2;
  const points = said.has("cHRM") ? numbers(said.get("cHRM")) : SRGB_POINTS;
  const isUsual = Math.abs(gamma - 1 / 2.2) < SMALL_GAP || gamma < 0.1 || gamma > 5;
  if (!isUsual || points.some((value, i) => Math.abs(value - SRGB_POINTS[i]) >= SMALL_GAP)) {
    throw new Refusal("a PNG that states its colours by gamma and primaries: browsers differ on these; save it in sRGB");
  }
}

function webp(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (view.getUint32(4, true) + 8 > bytes.length) throw new Refusal("the image is damaged: it was cut off");
  const parts = [], said = new Map();
  let at = 12;
  while (at + 8 <= bytes.length) {
    const length = view.getUint32(at + 4, true), name = latin(bytes, at, 4), end = at + 8 + length + (length & 1);
    said.set(name, bytes.subarray(at + 8, at + 8 + length));
    if (!["ICCP", "EXIF", "XMP "].includes(name)) parts.push(bytes.slice(at, end));
    at = end;
  }
  if (said.has("ANIM")) {
    throw new Refusal("an animation, of which no frame is the photograph: save the frame that is meant");
  }
  if (said.has("VP8X")) parts[0][8] &= 0x10; // of its flags only that of transparency: the rest is taken out
  const head = bytes.slice(0, 12);
  new DataView(head.buffer).setUint32(4, 4 + parts.reduce((sum, part) => sum + part.length, 0), true);
  const exif = said.get("EXIF"), xmp = said.get("XMP ");
  const orientation = (exif && orientationOfExif(exif)) ?? (xmp && orientationOfXmp(xmp)) ?? 1;
  const profile = said.get("ICCP") ?? null;
  return { type: "image/webp", parts: [head, ...parts], orientation, profile, space: "RGB ", jpeg: null };
}

function bmp(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 54) throw new Refusal("the image is damaged: a BMP cut off in its header");
  const width = view.getInt32(18, true), height = Math.abs(view.getInt32(22, true)), bits = view.getUint16(28, true);
  if (view.getUint32(14, true) < 40 || view.getUint32(30, true) !== 0 || ![1, 4, 8, 24].includes(bits)) {
    throw new Refusal("a BMP of a rare kind: browsers read it in different ways; save it as PNG");
  }
  const row = Math.ceil((width * bits) / 32) * 4;
  if (view.getUint32(10, true) + row * height > bytes.length) throw new Refusal("the image is damaged: it was cut off");
  return { type: "image/bmp", parts: [bytes], orientation: 1, profile: null, space: "", jpeg: null };
}
