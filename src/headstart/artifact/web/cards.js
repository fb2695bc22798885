/** What is shown of an answer. */

const MOST_BARS = 5;
const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** An element with a class and parts, which are texts or elements. */
export function element(tag, parts = [], className = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...[parts].flat());
  return made;
}

/** The answer for a file, with its picture. */
export function answerCard(file, name, answer, { classes }) {
  const picture = element("img");
  picture.alt = "";
  picture.src = URL.createObjectURL(file);
  picture.onload = () => URL.revokeObjectURL(picture.src);
  const title = answer.unsure ? "Unsure" : answer.predicted;
  const order = classes.map((_, i) => i).sort((one, other) => answer.probabilities[other] - answer.probabilities[one]);
  const parts = [element("h2", title), bars(order.slice(0, MOST_BARS), classes, answer.probabilities)];
  if (answer.set && answer.set.length > 1) parts.push(element("p", `It could be: ${answer.set.join(", ")}.`, "note"));
  if (answer.unfamiliar) {
    parts.push(element("p", "Unlike the training images: do not rely on this answer.", "note"));
  }
  parts.push(element("p", name, "file"));
  return element("li", [picture, element("div", parts)], "answer");
}

/** Why a file has no answer. */
export function failureCard(name, reason) {
  return element("li", [element("span"), element("div", [element("h2", "No answer"), element("p", reason, "note"), element("p", name, "file")])], "answer");
}

function bars(order, classes, probabilities) {
  const rows = order.map((i) => {
    const fill = element("span"), track = element("span", fill, "track");
    fill.style.width = percent(probabilities[i]).replace(" ", "");
    track.setAttribute("aria-hidden", "true");
    return element("li", [element("span", classes[i], "class"), track, element("span", percent(probabilities[i]), "share")]);
  });
  return element("ul", rows, "bars");
}
