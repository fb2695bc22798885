/** What is said to the user: short notes of what happened, and problems that stay until they are closed. */

import { button, make } from "./elements.js";

const NOTE_MS = 6000;
let fading = 0;

/** Says what happened, on the screen and to screen readers. */
export function say(text) {
  const place = document.getElementById("said");
  place.textContent = text;
  clearTimeout(fading);
  fading = setTimeout(() => {
    place.textContent = "";
  }, NOTE_MS);
}

/**
 * Tells a problem: what is wrong and what to do. The same problem is told once, however often it comes.
 * @param {Error & {hint?: string}} problem
 * @returns {() => void} takes the problem back
 */
export function tell(problem) {
  const place = document.getElementById("problems");
  const text = problem.message,
    hint = problem.hint ?? "";
  const same = [...place.children].find((element) => element.dataset.text === text);
  if (same) return () => same.remove();
  const element = make(
    "div",
    { class: "problem", data: { text } },
    make("p", {}, make("strong", { text }), hint ? ` ${hint}` : ""),
  );
  element.append(button("Close", () => element.remove(), { class: "plain", "aria-label": `Close: ${text}` }));
  place.append(element);
  return () => element.remove();
}

/** Runs what may fail: a problem is told, what was stopped on purpose is not. */
export async function trying(task) {
  try {
    return await task();
  } catch (error) {
    if (error.name === "AbortError") return undefined;
    console.error(error);
    tell(error);
    return undefined;
  }
}
