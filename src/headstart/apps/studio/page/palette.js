/** Colours that the colour-blind can tell apart (Okabe and Ito 2008), for light and dark paper; the rest is grey. */

const LIGHT = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#8c6d1f"];
const DARK = ["#56b4e9", "#ff8a3d", "#2fd6a3", "#e59ac4", "#ffc233", "#8fd3ff", "#b79bff", "#f0e442"];
const GREY = { light: "#9aa3ad", dark: "#5f6975" };

export const COLOURS = LIGHT.length;
const dark = matchMedia("(prefers-color-scheme: dark)");

/** Colours for the most frequent groups, and the one for all others. @returns {{colours: string[], other: string}} */
export function palette() {
  return { colours: dark.matches ? DARK : LIGHT, other: dark.matches ? GREY.dark : GREY.light };
}

/** Calls back when the scheme turns. */
export function onScheme(listener, signal) {
  dark.addEventListener("change", listener, { signal });
}

/** A colour as the pixels of an image hold it on a little-endian machine: 0xAABBGGRR. */
export function pixelOf(colour) {
  const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
  return ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0;
}
