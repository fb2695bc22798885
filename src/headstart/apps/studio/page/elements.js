/** Makes elements. Text is always text: nothing is parsed as HTML, and no style attribute is written. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element with its facts and children.
 * @param {string} tag
 * @param {object} [facts] `text`, `class`, `on` (listeners by event), `data` (data-*), `vars` (CSS variables); others are
 *   attributes, where true sets one without a value and false, null and undefined leave it out
 * @param {...(Node|string|null|undefined|false)} children nothing is added for a child that is null, undefined or false
 * @returns {HTMLElement}
 */
export function make(tag, facts = {}, ...children) {
  return furnish(document.createElement(tag), facts, children);
}

/** The same for a part of an SVG drawing. @returns {SVGElement} */
export function draw(tag, facts = {}, ...children) {
  return furnish(document.createElementNS(SVG, tag), facts, children);
}

function furnish(element, facts, children) {
  for (const [name, value] of Object.entries(facts)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "vars") for (const [key, number] of Object.entries(value)) element.style.setProperty(key, number);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A button that does something. @returns {HTMLButtonElement} */
export function button(text, act, facts = {}) {
  return make("button", { type: "button", text, on: { click: act }, ...facts });
}

/** A key as it is printed on a keyboard. */
export function key(name) {
  return make("kbd", { text: name, "aria-hidden": "true" });
}

/** A button that shows the key that does the same. @returns {HTMLButtonElement} */
export function keyed(name, text, act, facts = {}) {
  const element = button(` ${text}`, act, { "aria-keyshortcuts": name, ...facts });
  element.prepend(key(name));
  return element;
}

/** A share in per cent with one decimal: 0.9394 -> "93.9 %". */
export function percent(share) {
  return share === null || share === undefined || Number.isNaN(share) ? "–" : `${(100 * share).toFixed(1)} %`;
}

/** A whole number with thousands apart: 1000000 -> "1,000,000". */
export function count(number) {
  return Number(number).toLocaleString("en");
}

/** "1 image", "2 images". */
export function counted(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** Is the user writing in a field, so that single keys are letters and not orders? */
export function isWriting(event) {
  const field = event.target instanceof Element && event.target.closest("input, textarea, select");
  return Boolean(field) && !["checkbox", "radio", "range", "button", "file"].includes(field.type);
}
