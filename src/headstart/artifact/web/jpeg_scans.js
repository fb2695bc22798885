/** The coefficients in the scans of a JPEG (T.81, annexes F and G): with Huffman codes, sequential or progressive. */

import { Refusal } from "./refusal.js";

const ZIGZAG = Uint8Array.from([
  0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28, 35, 42,
  49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
]);

/**
 * @typedef {object} Component
 * @property {number} h samples across in each unit
 * @property {number} v samples down
 * @property {Int32Array} steps of quantisation, in the order of the block
 * @property {number} across blocks in memory
 * @property {number} down
 * @property {number} ownAcross blocks that hold the picture
 * @property {number} ownDown
 * @property {Int16Array} coefficients
 */

/**
 * The frame of a JPEG with the coefficients of its components.
 * @param {Uint8Array} bytes of a whole file
 * @returns {{width: number, height: number, components: Component[], adobe: number | null, hasJfif: boolean}}
 */
export function readScans(bytes) {
  const tables = { steps: [], dc: [], ac: [], interval: 0 };
  let frame = null, at = 2, adobe = null, hasJfif = false;
  while (at + 4 <= bytes.length) {
    if (bytes[at] !== 0xff || bytes[at + 1] === 0xff || bytes[at + 1] === 0) {
      at += 1;
      continue;
    }
    const marker = bytes[at + 1];
    if (marker === 0xd9) break;
    if (marker === 0x01 || (marker >= 0xd0 && marker <= 0xd8)) {
      at += 2;
      continue;
    }
    const end = at + 2 + (bytes[at + 2] << 8) + bytes[at + 3], body = bytes.subarray(at + 4, end);
    at = end;
    if (marker === 0xdb) readSteps(body, tables);
    else if (marker === 0xc4) readCodes(body, tables);
    else if (marker === 0xdd) tables.interval = (body[0] << 8) | body[1];
    else if (marker >= 0xc0 && marker <= 0xc2) frame = readFrame(body, marker === 0xc2);
    else if (marker === 0xe0) hasJfif ||= body[0] === 0x4a && body[1] === 0x46;
    else if (marker === 0xee && body[0] === 0x41 && body[1] === 0x64) adobe = body[11];
    else if (marker === 0xda) at = readScan(bytes, at, body, frame, tables);
  }
  if (!frame) throw new Refusal("the image is damaged: a JPEG without a frame");
  return { ...frame, adobe, hasJfif };
}

function readSteps(body, tables) {
  for (let at = 0; at < body.length;) {
    const wide = body[at] >> 4, steps = new Int32Array(64), id = body[at] & 15;
    at += 1;
    for (let k = 0; k < 64; k += 1, at += wide ? 2 : 1) steps[ZIGZAG[k]] = wide ? (body[at] << 8) | body[at + 1] : body[at];
    tables.steps[id] = steps;
  }
}

/** Huffman codes, as a table of 16 bits: length << 8 | symbol. */
function readCodes(body, tables) {
  for (let at = 0; at + 17 <= body.length;) {
    const [kind, id] = [body[at] >> 4 ? "ac" : "dc", body[at] & 15], table = new Uint16Array(65536);
    let symbol = at + 17, code = 0;
    for (let length = 1; length <= 16; length += 1) {
      for (let k = 0; k < body[at + length]; k += 1, symbol += 1) {
        const width = 1 << (16 - length);
        table.fill((length << 8) | body[symbol], code, code + width);
        code += width;
      }
    }
    tables[kind][id] = table;
    at = symbol;
  }
}

function readFrame(body, isProgressive) {
  const height = (body[1] << 8) | body[2], width = (body[3] << 8) | body[4];
  const components = Array.from({ length: body[5] }, (_, i) => {
    const entry = 6 + 3 * i;
    return { id: body[entry], h: body[entry + 1] >> 4, v: body[entry + 1] & 15, table: body[entry + 2] };
  });
  const mostH = Math.max(...components.map(({ h }) => h)), mostV = Math.max(...components.map(({ v }) => v));
  const unitsAcross = Math.ceil(width / (8 * mostH)), unitsDown = Math.ceil(height / (8 * mostV));
  for (const component of components) {
    component.across = unitsAcross * component.h;
    component.down = unitsDown * component.v;
    component.ownAcross = Math.ceil(Math.ceil((width * component.h) / mostH) / 8);
    component.ownDown = Math.ceil(Math.ceil((height * component.v) / mostV) / 8);
    component.coefficients = new Int16Array(component.across * component.down * 64);
  }
  return { width, height, components, mostH, mostV, unitsAcross, unitsDown, isProgressive };
}

/** Bits of a scan; zeros after its end, as libjpeg has it. */
class Bits {
  constructor(bytes, at) {
    Object.assign(this, { bytes, at, held: 0, count: 0 });
  }

  fill() {
    while (this.count <= 16) {
      let byte = 0;
      if (this.at < this.bytes.length) {
        byte = this.bytes[this.at];
        if (byte === 0xff && this.bytes[this.at + 1] !== 0) byte = 0; // a marker: it stays where it is
        else this.at += byte === 0xff ? 2 : 1;
      }
      this.held = ((this.held << 8) | byte) & 0xffffff;
      this.count += 8;
    }
  }

  get(length) {
    if (!length) return 0;
    if (this.count < length) this.fill();
    this.count -= length;
    return (this.held >> this.count) & ((1 << length) - 1);
  }

  symbol(table) {
    if (this.count < 16) this.fill();
    const found = table[(this.held >> (this.count - 16)) & 0xffff];
    if (!found) throw new Refusal("the image is damaged: a code that there is not");
    this.count -= found >> 8;
    return found & 255;
  }

  /** A signed number of so many bits (F.2.2.1). */
  signed(length) {
    const value = this.get(length);
    return length && value < 1 << (length - 1) ? value - (1 << length) + 1 : value;
  }

  /** On to after the next restart marker. */
  restart() {
    this.held = this.count = 0;
    while (this.at + 1 < this.bytes.length && !(this.bytes[this.at] === 0xff && this.bytes[this.at + 1] !== 0)) this.at += 1;
    if (this.bytes[this.at + 1] >= 0xd0 && this.bytes[this.at + 1] <= 0xd7) this.at += 2;
  }
}

function readScan(bytes, begin, body, frame, tables) {
  if (!frame) throw new Refusal("the image is damaged: a JPEG without a frame");
  const n = body[0], bits = new Bits(bytes, begin), last = 1 + 2 * n;
  const scan = { first: body[last], end: body[last + 1], high: body[last + 2] >> 4, low: body[last + 2] & 15, run: 0 };
  const parts = Array.from({ length: n }, (_, i) => {
    const component = frame.components.find(({ id }) => id === body[1 + 2 * i]), codes = body[2 + 2 * i];
    component.steps ??= tables.steps[component.table];
    return { component, dc: tables.dc[codes >> 4], ac: tables.ac[codes & 15], before: 0 };
  });
  const read = !frame.isProgressive ? sequential : scan.first === 0 ? (scan.high ? dcAgain : dcFirst) : scan.high ? acAgain : acFirst;
  const alone = n === 1 ? parts[0].component : null;
  const across = alone ? alone.ownAcross : frame.unitsAcross, down = alone ? alone.ownDown : frame.unitsDown;
  for (let unit = 0; unit < across * down; unit += 1) {
    if (tables.interval && unit && unit % tables.interval === 0) {
      bits.restart();
      scan.run = 0;
      for (const part of parts) part.before = 0;
    }
    const x = unit % across, y = Math.floor(unit / across);
    for (const part of parts) {
      const { component } = part, h = alone ? 1 : component.h, v = alone ? 1 : component.v;
      for (let k = 0; k < h * v; k += 1) {
        const block = (y * v + Math.floor(k / h)) * component.across + x * h + (k % h);
        read(bits, component.coefficients, block * 64, part, scan);
      }
    }
  }
  return bits.at;
}

function sequential(bits, c, at, part) {
  c[at] = part.before += bits.signed(bits.symbol(part.dc));
  for (let k = 1; k < 64; k += 1) {
    const symbol = bits.symbol(part.ac), length = symbol & 15;
    k += symbol >> 4;
    if (length) c[at + ZIGZAG[k & 63]] = bits.signed(length);
    else if (symbol !== 0xf0) return;
  }
}

function dcFirst(bits, c, at, part, { low }) {
  part.before += bits.signed(bits.symbol(part.dc));
  c[at] = part.before << low;
}

function dcAgain(bits, c, at, part, { low }) {
  if (bits.get(1)) c[at] |= 1 << low;
}

function acFirst(bits, c, at, part, scan) {
  if (scan.run) {
    scan.run -= 1;
    return;
  }
  for (let k = scan.first; k <= scan.end; k += 1) {
    const symbol = bits.symbol(part.ac), zeros = symbol >> 4, length = symbol & 15;
    if (!length && zeros < 15) {
      scan.run = (1 << zeros) + bits.get(zeros) - 1;
      return;
    }
    k += zeros;
    if (length) c[at + ZIGZAG[k & 63]] = bits.signed(length) * (1 << scan.low);
  }
}

function acAgain(bits, c, at, part, scan) {
  const step = 1 << scan.low;
  const correct = (i) => {
    if (bits.get(1) && !(Math.abs(c[i]) & step)) c[i] += c[i] > 0 ? step : -step;
  };
  let k = scan.first;
  if (!scan.run) {
    for (; k <= scan.end; k += 1) {
      const symbol = bits.symbol(part.ac), length = symbol & 15;
      let zeros = symbol >> 4, value = 0;
      if (length) value = bits.get(1) ? step : -step;
      else if (zeros < 15) {
        scan.run = (1 << zeros) + bits.get(zeros);
        break;
      }
      for (; k <= scan.end; k += 1) {
        const i = at + ZIGZAG[k];
        if (c[i]) correct(i);
        else if (zeros) zeros -= 1;
        else {
          if (value) c[i] = value;
          break;
        }
      }
    }
  }
  if (!scan.run) return;
  for (; k <= scan.end; k += 1) if (c[at + ZIGZAG[k]]) correct(at + ZIGZAG[k]);
  scan.run -= 1;
}
