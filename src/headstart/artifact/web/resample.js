/** Resizing as Pillow does it, to the last bit: fixed-point coefficients of 22 bits, and levels rounded after each direction. */

const PRECISION = 22;
const HALF = 1 << (PRECISION - 1);
const FILTERS = {
  bilinear: { support: 1, weigh: (x) => (Math.abs(x) < 1 ? 1 - Math.abs(x) : 0) },
  bicubic: { support: 2, weigh: cubic },
};

/**
 * @typedef {object} Picture
 * @property {number} width
 * @property {number} height
 * @property {Uint8Array} rgb three bytes a pixel
 */

/**
 * A window of the picture resized to `width` x `height`; windows may reach beyond it: there the result is black, as in Pillow.
 * @param {Picture} picture
 * @param {number} width
 * @param {number} height
 * @param {"bilinear" | "bicubic"} filter
 * @param {boolean} rowsMayBeFirst whether rows come first where many are taken out, as in Pillow from version 13
 * @returns {Picture}
 */
export function resized(picture, width, height, filter, rowsMayBeFirst, window = { left: 0, top: 0, width, height }) {
  const x = coefficients(picture.width, width, FILTERS[filter], window.left, window.width);
  const y = coefficients(picture.height, height, FILTERS[filter], window.top, window.height);
  const rowsLeave = picture.height - height, columnsLeave = picture.width - width;
  if (rowsMayBeFirst && rowsLeave > 0 && rowsLeave > 2 * columnsLeave) return alongRows(alongColumns(picture, y), x);
  return alongColumns(alongRows(picture, x, y), y);
}

function cubic(x) {
  const a = -0.5, far = Math.abs(x);
  if (far < 1) return ((a + 2) * far - (a + 3)) * far * far + 1;
  return far < 2 ? (((far - 5) * far + 8) * far - 4) * a : 0;
}

/** For each place of the window: where its coefficients begin in the source, and the coefficients. */
function coefficients(length, target, { support, weigh }, begin, count) {
  const scale = length / target, spread = Math.max(scale, 1), reach = support * spread, inverse = 1 / spread;
  return Array.from({ length: count }, (_, i) => {
    if (i + begin < 0 || i + begin >= target) return { first: 0, weights: new Int32Array(0) };
    const centre = (i + begin + 0.5) * scale;
    const first = Math.max(0, Math.trunc(centre - reach + 0.5)), end = Math.min(length, Math.trunc(centre + reach + 0.5));
    const plain = Float64Array.from({ length: end - first }, (_, k) => weigh((k + first - centre + 0.5) * inverse));
    const sum = plain.reduce((total, weight) => total + weight, 0);
    const fixed = (weight) => Math.trunc((weight < 0 ? -0.5 : 0.5) + (sum ? weight / sum : weight) * 2 ** PRECISION);
    return { first, weights: Int32Array.from(plain, fixed) };
  });
}

/** Each row resized; with `needed`, only the rows that these coefficients of the other direction use. */
function alongRows({ width, height, rgb }, x, needed = null) {
  const used = needed?.filter(({ weights }) => weights.length);
  const top = used?.length ? Math.min(...used.map(({ first }) => first)) : 0;
  const bottom = used?.length ? Math.max(...used.map(({ first, weights }) => first + weights.length)) : height;
  const out = new Uint8ClampedArray(x.length * height * 3);
  for (let row = top; row < bottom; row += 1) {
    const from = row * width * 3;
    let to = row * x.length * 3;
    for (const { first, weights } of x) {
      let r = HALF, g = HALF, b = HALF, at = from + first * 3;
      for (let k = 0; k < weights.length; k += 1, at += 3) {
        const weight = weights[k];
        r += rgb[at] * weight;
        g += rgb[at + 1] * weight;
        b += rgb[at + 2] * weight;
      }
      out[to] = r >> PRECISION;
      out[to + 1] = g >> PRECISION;
      out[to + 2] = b >> PRECISION;
      to += 3;
    }
  }
  return { width: x.length, height, rgb: out };
}

function alongColumns({ width, rgb }, y) {
  const stride = width * 3, out = new Uint8ClampedArray(stride * y.length), sums = new Int32Array(stride);
  y.forEach(({ first, weights }, row) => {
    sums.fill(HALF);
    for (let k = 0; k < weights.length; k += 1) {
      const from = (first + k) * stride, weight = weights[k];
      for (let i = 0; i < stride; i += 1) sums[i] += rgb[from + i] * weight;
    }
    for (let i = 0; i < stride; i += 1) out[row * stride + i] = sums[i] >> PRECISION;
  });
  return { width, height: y.length, rgb: out };
}
