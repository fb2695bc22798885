/**
 * Scrolling through more pixels than a browser can lay out (some 17 to 33 million): the scroll bar is scaled, the wheel is not.
 * A wheel or a finger moves by true pixels; dragging the bar maps its place to a place in the whole.
 */

const LONGEST_PX = 4_000_000,
  IDLE_MS = 140;

export class LongScroll {
  /** Top of what is seen, in pixels of the whole. */
  position = 0;
  #total = 0;
  #before = 0;
  #byHand = false;
  #ours = false;
  #idle = 0;

  /**
   * @param {HTMLElement} pane scrolls
   * @param {HTMLElement} spacer its content, made as high as the whole, or as a browser can
   * @param {() => void} moved
   */
  constructor(pane, spacer, moved) {
    this.pane = pane;
    this.spacer = spacer;
    this.moved = moved;
    pane.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    for (const kind of ["wheel", "touchstart"])
      pane.addEventListener(
        kind,
        () => {
          this.#byHand = true;
        },
        { passive: true },
      );
  }

  get #hidden() {
    return Math.max(0, this.#total - this.pane.clientHeight);
  }
  get #range() {
    return Math.max(0, Math.min(this.#total, LONGEST_PX) - this.pane.clientHeight);
  }
  get scaled() {
    return this.#total > LONGEST_PX;
  }

  /** Where the pixel `position` of the whole lies in the pane's own pixels. */
  get offset() {
    return this.pane.scrollTop - this.position;
  }

  /** Sets the height of the whole and keeps `position` in view. */
  resize(total, position) {
    this.#total = total;
    this.spacer.style.setProperty("height", `${Math.min(total, LONGEST_PX)}px`);
    this.to(position);
  }

  /** Goes to a place in the whole. */
  to(position) {
    this.position = Math.round(Math.max(0, Math.min(position, this.#hidden)));
    this.#place();
  }

  #place() {
    const top = this.scaled ? (this.position / this.#hidden) * this.#range : this.position;
    if (Math.round(top) !== Math.round(this.pane.scrollTop)) {
      this.#ours = true;
      this.pane.scrollTop = top;
    }
    this.#before = this.pane.scrollTop;
    this.moved();
  }

  #scrolled() {
    const top = this.pane.scrollTop;
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#rest(), IDLE_MS);
    if (this.#ours) {
      this.#ours = false;
      return;
    }
    if (!this.scaled) this.position = top;
    else if (this.#byHand) this.position = Math.max(0, Math.min(this.position + top - this.#before, this.#hidden));
    else this.position = Math.round((top / Math.max(1, this.#range)) * this.#hidden);
    this.#before = top;
    this.moved();
  }

  /** When all is still, the bar goes where it belongs, so that neither end is reached too early. */
  #rest() {
    this.#byHand = false;
    if (this.scaled) this.#place();
  }
}
