/** The learning curve: accuracy by the number of labels, on a logarithmic axis. */

import { count, draw, percent } from "./elements.js";

const WIDTH = 480,
  HEIGHT = 240,
  LEFT = 52,
  RIGHT = 16,
  TOP = 12,
  BOTTOM = 34,
  LINES = 4;

/** @param {{n: number, accuracy: number}[]} points by n @returns {SVGElement} */
export function curve(points) {
  const logs = points.map((point) => Math.log(point.n)),
    values = points.map((point) => point.accuracy);
  const floor = Math.max(0, Math.floor(10 * Math.min(...values)) / 10),
    ceiling = Math.min(1, Math.ceil(20 * Math.max(...values)) / 20);
  const x = (log) => LEFT + ((log - logs[0]) / Math.max(1e-9, logs.at(-1) - logs[0])) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - ((value - floor) / Math.max(1e-9, ceiling - floor)) * (HEIGHT - TOP - BOTTOM);
  const words = (point) => `${percent(point.accuracy)} with ${count(point.n)} labels`;
  const text = `Accuracy from ${words(points[0])} to ${words(points.at(-1))}`;
  const figure = draw("svg", { class: "plot", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": text });
  for (let line = 0; line <= LINES; line += 1) {
    const value = floor + ((ceiling - floor) * line) / LINES;
    figure.append(
      draw("line", { class: "axis", x1: LEFT, x2: WIDTH - RIGHT, y1: y(value), y2: y(value) }),
      draw("text", { x: LEFT - 8, y: y(value) + 4, "text-anchor": "end", text: `${(100 * value).toFixed(0)} %` }),
    );
  }
  let free = -Infinity;
  points.forEach((point, index) => {
    const place = x(logs[index]);
    if (place < free && index < points.length - 1) return;
    if (index < points.length - 1 && place > x(logs.at(-1)) - 44) return; // room for the last
    free = place + 44;
    figure.append(
      draw("text", {
        x: place,
        y: HEIGHT - BOTTOM + 18,
        "text-anchor": index === points.length - 1 ? "end" : "middle",
        text: count(point.n),
      }),
    );
  });
  figure.append(
    draw("text", { x: (LEFT + WIDTH) / 2, y: HEIGHT - 2, "text-anchor": "middle", text: "labels" }),
    draw("path", {
      class: "curve",
      d: points.map((point, index) => `${index ? "L" : "M"}${x(logs[index])} ${y(point.accuracy)}`).join(" "),
    }),
  );
  points.forEach((point, index) => {
    const dot = draw("circle", { cx: x(logs[index]), cy: y(point.accuracy), r: 4 });
    dot.append(draw("title", { text: `${count(point.n)} labels: ${percent(point.accuracy)}` }));
    figure.append(dot);
  });
  return figure;
}
