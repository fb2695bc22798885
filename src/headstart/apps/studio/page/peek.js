/** The small picture beside the pointer on the map. */

import { thumbnail } from "./api.js";
import { make } from "./elements.js";
import { facts } from "./facts.js";
import { sentence } from "./tile.js";
import { trying } from "./told.js";

const AWAY_PX = 16;

export class Peek {
  /** The image under the pointer. @type {number|null} */
  row = null;

  /** @param {HTMLElement} sheet the part of the page that it stays inside */
  constructor(sheet) {
    this.sheet = sheet;
    this.picture = make("img", { alt: "" });
    this.words = make("span", {});
    this.element = make("div", { class: "peek", hidden: true }, this.picture, this.words);
    sheet.append(this.element);
  }

  hide() {
    this.row = null;
    this.element.hidden = true;
  }

  /** Shows an image beside the pointer; nothing for null. */
  show(row, { clientX, clientY }) {
    if (row === this.row) return;
    this.row = row;
    if (row === null) this.hide();
    else trying(() => this.#fill(row, clientX, clientY));
  }

  async #fill(row, clientX, clientY) {
    const [fact] = await facts([row]);
    if (this.row !== row || !fact) return;
    this.picture.src = thumbnail(fact.digest);
    this.words.textContent = sentence(row, fact.path);
    this.element.hidden = false;
    const box = this.sheet.getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = this.element;
    const right = clientX - box.left + AWAY_PX;
    const left = right + width > box.width ? right - 2 * AWAY_PX - width : right;
    this.element.style.setProperty("left", `${Math.max(0, left)}px`);
    this.element.style.setProperty("top", `${Math.max(0, Math.min(clientY - box.top, box.height - height))}px`);
  }
}
