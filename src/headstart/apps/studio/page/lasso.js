/** A lasso: a polygon on the map, short enough for the URL, and the rows inside it. Places on the map never move. */

import { ask } from "./api.js";

const STEPS = 65535,
  MOST_CORNERS = 64,
  MADE = 202,
  PAUSE_MS = 1000;
const OUTSIDE = [-0.01, 1.01]; // what lies on the edge is inside
let places = null;

/**
 * The map: x and y of each row, in [0, 1]; waits while the server makes it.
 * @param {(text: string) => void} [waiting] called when it is not there yet
 * @returns {Promise<Float32Array>} two values a row
 */
export async function readMap(waiting = () => {}, signal = undefined) {
  if (places) return places;
  for (;;) {
    const response = await ask("api/map", { signal });
    if (response.status !== MADE) {
      places = new Float32Array(await response.arrayBuffer());
      return places;
    }
    waiting("The map is being made …");
    await new Promise((next) => setTimeout(next, PAUSE_MS));
    signal?.throwIfAborted();
  }
}

/** Has the map read again: images were added. */
export function forgetMap() {
  places = null;
}

/** A polygon in [0, 1] as text for the URL: at most 64 corners, in 65536 steps. @param {[number, number][]} corners */
export function encodeLasso(corners) {
  const every = Math.max(1, Math.ceil(corners.length / MOST_CORNERS));
  const kept = corners.filter((_, index) => index % every === 0);
  const step = (value) => Math.round(Math.max(OUTSIDE[0], Math.min(OUTSIDE[1], value)) * STEPS);
  return kept.flatMap(([x, y]) => [step(x), step(y)]).join("~");
}

function decodeLasso(text) {
  const numbers = text.split("~").map((step) => Number(step) / STEPS);
  return Array.from({ length: Math.floor(numbers.length / 2) }, (_, index) => [numbers[2 * index], numbers[2 * index + 1]]);
}

/** Which rows lie inside. @returns {Promise<Uint8Array>} one byte a row */
export async function rowsInLasso(text) {
  return inside(await readMap(), decodeLasso(text));
}

/**
 * Points inside a polygon, by crossings to the right of each (even-odd rule).
 * @param {Float32Array} points two values a point
 * @param {[number, number][]} corners
 * @returns {Uint8Array}
 */
export function inside(points, corners) {
  const xs = Float64Array.from(corners, ([x]) => x),
    ys = Float64Array.from(corners, ([, y]) => y);
  const [left, right] = [Math.min(...xs), Math.max(...xs)],
    [top, bottom] = [Math.min(...ys), Math.max(...ys)];
  const marks = new Uint8Array(points.length / 2);
  for (let row = 0; row < marks.length; row += 1) {
    const x = points[2 * row],
      y = points[2 * row + 1];
    if (!(x >= left && x <= right && y >= top && y <= bottom)) continue;
    let odd = 0;
    for (let one = 0, other = xs.length - 1; one < xs.length; other = one, one += 1) {
      if (ys[one] > y !== ys[other] > y && x < ((xs[other] - xs[one]) * (y - ys[one])) / (ys[other] - ys[one]) + xs[one])
        odd ^= 1;
    }
    marks[row] = odd;
  }
  return marks;
}
