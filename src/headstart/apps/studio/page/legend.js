/** The legend of the map: a button a group, which shows that group alone. */

import { count, make } from "./elements.js";

/**
 * @param {{name: string, n: number, colour: string}[]} legend
 * @param {number|null} only the group that is shown alone
 * @param {(group: number) => void} choose
 * @returns {HTMLElement[]}
 */
export function legendItems(legend, only, choose) {
  return legend.map(({ name, n, colour }, group) => {
    const facts = {
      type: "button",
      "aria-pressed": only === group,
      title: "Show only these",
      on: { click: () => choose(group) },
    };
    const dot = make("i", { vars: { "--colour": colour } });
    const sum = make("span", { class: "quiet number", text: count(n) });
    return make("li", { hidden: n === 0 }, make("button", facts, dot, make("span", { text: name }), sum));
  });
}
