/** Points of a map: drawn straight into pixels, and found again under the pointer. */

const CELLS = 256;

/**
 * Draws points as squares, one write a pixel: a million take some tens of milliseconds.
 * @param {CanvasRenderingContext2D} context
 * @param {Float32Array} places two values a point, in [0, 1]
 * @param {Uint8Array} groups which colour each point has
 * @param {Uint32Array} colours by group, as pixels; 0: not drawn
 * @param {{x: number, y: number, scale: number}} view what is seen: left top corner, and pixels for a unit
 * @param {Uint8Array} order groups in the order in which they are drawn, the last on top
 */
export function drawPoints(context, places, groups, colours, view, order) {
  const { width, height } = context.canvas;
  const image = context.createImageData(width, height),
    pixels = new Uint32Array(image.data.buffer);
  const size = sizeOf(groups.length, view.scale, width);
  for (const group of order) {
    const colour = colours[group];
    if (!colour) continue;
    for (let row = 0; row < groups.length; row += 1) {
      if (groups[row] !== group || Number.isNaN(places[2 * row])) continue;
      const x = ((places[2 * row] - view.x) * view.scale - size / 2) | 0,
        y = ((places[2 * row + 1] - view.y) * view.scale - size / 2) | 0;
      if (x < 0 || y < 0 || x + size > width || y + size > height) continue;
      for (let line = y * width + x, end = line + size * width; line < end; line += width)
        pixels.fill(colour, line, line + size);
    }
  }
  context.putImageData(image, 0, 0);
}

/** Larger points where there are few, or where one looks closely. */
function sizeOf(n, scale, width) {
  const base = n > 200000 ? 1 : n > 30000 ? 2 : n > 4000 ? 3 : 5;
  return Math.round(Math.min(14, base * devicePixelRatio * Math.sqrt(Math.max(1, scale / width))));
}

/** Finds the point nearest to a place: points sorted into cells once. */
export class Cells {
  /** @param {Float32Array} places */
  constructor(places) {
    this.places = places;
    const n = places.length / 2;
    this.starts = new Uint32Array(CELLS * CELLS + 1);
    const cells = new Uint16Array(n);
    for (let row = 0; row < n; row += 1) {
      cells[row] = cellOf(places[2 * row], places[2 * row + 1]);
      this.starts[cells[row] + 1] += 1;
    }
    for (let cell = 0; cell < CELLS * CELLS; cell += 1) this.starts[cell + 1] += this.starts[cell];
    this.rows = new Uint32Array(n);
    const next = this.starts.slice();
    for (let row = 0; row < n; row += 1) {
      this.rows[next[cells[row]]] = row;
      next[cells[row]] += 1;
    }
  }

  /** @returns {number|null} the row nearest to a place within a distance */
  nearest(x, y, within, allowed = () => true) {
    let best = null,
      least = within * within;
    const reach = Math.min(CELLS, Math.ceil(within * CELLS));
    const column = clamp(x),
      line = clamp(y);
    for (let v = Math.max(0, line - reach); v <= Math.min(CELLS - 1, line + reach); v += 1) {
      for (let u = Math.max(0, column - reach); u <= Math.min(CELLS - 1, column + reach); u += 1) {
        for (let at = this.starts[v * CELLS + u]; at < this.starts[v * CELLS + u + 1]; at += 1) {
          const row = this.rows[at],
            dx = this.places[2 * row] - x,
            dy = this.places[2 * row + 1] - y;
          if (dx * dx + dy * dy < least && allowed(row)) {
            least = dx * dx + dy * dy;
            best = row;
          }
        }
      }
    }
    return best;
  }
}

const clamp = (value) => Math.max(0, Math.min(CELLS - 1, Math.floor(value * CELLS) || 0));
const cellOf = (x, y) => clamp(y) * CELLS + clamp(x);
