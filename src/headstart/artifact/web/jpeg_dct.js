/**
 * The inverse transforms of JPEG in integers, as libjpeg has them (jidctint.c, jidctred.c): a block of 8 x 8 coefficients becomes
 * 8 x 8, 4 x 4, 2 x 2 or 1 x 1 samples; the smaller ones are the means of the larger.
 */

const BITS = 13, FIRST = 2; // of constants, and kept between columns and rows
const fix = (value) => Math.floor(value * (1 << BITS) + 0.5);
const F = Object.fromEntries(
  Object.entries({
    a: 0.298631336, b: 0.390180644, c: 0.541196100, d: 0.765366865, e: 0.899976223, f: 1.175875602, g: 1.501321110,
    h: 1.847759065, i: 1.961570560, j: 2.053119869, k: 2.562915447, l: 3.072711026, m: 0.211164243, n: 0.509795579,
    o: 0.601344887, p: 0.720959822, q: 0.765366865, r: 0.850430095, s: 0.899976223, t: 1.061594337, u: 1.272758580,
    v: 1.451774981, w: 2.172734803, x: 3.624509785,
  }).map(([name, value]) => [name, fix(value)]),
);
const space = new Int32Array(64);

const rounded = (value, shift) => (value + (1 << (shift - 1))) >> shift;

/** A function from 64 coefficients, times their steps, to samples of `size` x `size` in `out`, from `at` on. */
export const INVERSE = { 8: full, 4: half, 2: quarter, 1: eighth };

/** The eight values of one direction. */
function eight(s0, s1, s2, s3, s4, s5, s6, s7, shift, write) {
  let z1 = Math.imul(s2 + s6, F.c);
  const even2 = z1 - Math.imul(s6, F.h), even3 = z1 + Math.imul(s2, F.d);
  const even0 = (s0 + s4) << BITS, even1 = (s0 - s4) << BITS;
  const e0 = even0 + even3, e3 = even0 - even3, e1 = even1 + even2, e2 = even1 - even2;
  let o0 = s7, o1 = s5, o2 = s3, o3 = s1;
  let z2 = o1 + o2, z3 = o0 + o2, z4 = o1 + o3;
  z1 = o0 + o3;
  const z5 = Math.imul(z3 + z4, F.f);
  o0 = Math.imul(o0, F.a);
  o1 = Math.imul(o1, F.j);
  o2 = Math.imul(o2, F.l);
  o3 = Math.imul(o3, F.g);
  z1 = -Math.imul(z1, F.e);
  z2 = -Math.imul(z2, F.k);
  z3 = z5 - Math.imul(z3, F.i);
  z4 = z5 - Math.imul(z4, F.b);
  o0 += z1 + z3;
  o1 += z2 + z4;
  o2 += z2 + z3;
  o3 += z1 + z4;
  write(0, rounded(e0 + o3, shift));
  write(7, rounded(e0 - o3, shift));
  write(1, rounded(e1 + o2, shift));
  write(6, rounded(e1 - o2, shift));
  write(2, rounded(e2 + o1, shift));
  write(5, rounded(e2 - o1, shift));
  write(3, rounded(e3 + o0, shift));
  write(4, rounded(e3 - o0, shift));
}

function full(c, out, at, stride) {
  for (let x = 0; x < 8; x += 1) {
    eight(c[x], c[8 + x], c[16 + x], c[24 + x], c[32 + x], c[40 + x], c[48 + x], c[56 + x], BITS - FIRST,
      (y, value) => { space[8 * y + x] = value; });
  }
  for (let y = 0; y < 8; y += 1) {
    const i = 8 * y, to = at + y * stride;
    eight(space[i], space[i + 1], space[i + 2], space[i + 3], space[i + 4], space[i + 5], space[i + 6], space[i + 7],
      BITS + FIRST + 3, (x, value) => { out[to + x] = value + 128; });
  }
}

/** The four means of one direction; coefficient 4 is in none of them. */
function four(s0, s1, s2, s3, s5, s6, s7, shift, write) {
  const base = s0 << (BITS + 1), even = Math.imul(s2, F.h) - Math.imul(s6, F.q);
  const low = base + even, high = base - even;
  const odd0 = -Math.imul(s7, F.m) + Math.imul(s5, F.v) - Math.imul(s3, F.w) + Math.imul(s1, F.t);
  const odd2 = -Math.imul(s7, F.n) - Math.imul(s5, F.o) + Math.imul(s3, F.s) + Math.imul(s1, F.k);
  write(0, rounded(low + odd2, shift));
  write(3, rounded(low - odd2, shift));
  write(1, rounded(high + odd0, shift));
  write(2, rounded(high - odd0, shift));
}

function half(c, out, at, stride) {
  for (let x = 0; x < 8; x += 1) {
    if (x === 4) continue;
    four(c[x], c[8 + x], c[16 + x], c[24 + x], c[40 + x], c[48 + x], c[56 + x], BITS - FIRST + 1,
      (y, value) => { space[8 * y + x] = value; });
  }
  for (let y = 0; y < 4; y += 1) {
    const i = 8 * y, to = at + y * stride;
    four(space[i], space[i + 1], space[i + 2], space[i + 3], space[i + 5], space[i + 6], space[i + 7], BITS + FIRST + 3 + 1,
      (x, value) => { out[to + x] = value + 128; });
  }
}

/** The two means of one direction; of the even coefficients only the first is in them. */
function two(s0, s1, s3, s5, s7, shift, write) {
  const base = s0 << (BITS + 2);
  const odd = -Math.imul(s7, F.p) + Math.imul(s5, F.r) - Math.imul(s3, F.u) + Math.imul(s1, F.x);
  write(0, rounded(base + odd, shift));
  write(1, rounded(base - odd, shift));
}

function quarter(c, out, at, stride) {
  for (const x of [0, 1, 3, 5, 7]) {
    two(c[x], c[8 + x], c[24 + x], c[40 + x], c[56 + x], BITS - FIRST + 2, (y, value) => { space[8 * y + x] = value; });
  }
  for (let y = 0; y < 2; y += 1) {
    const i = 8 * y, to = at + y * stride;
    two(space[i], space[i + 1], space[i + 3], space[i + 5], space[i + 7], BITS + FIRST + 3 + 2,
      (x, value) => { out[to + x] = value + 128; });
  }
}

function eighth(c, out, at) {
  out[at] = rounded(c[0], 3) + 128;
}
