/** What is shown of an answer. */

const percent = (share) => `${(100 * share).toFixed(1)} %`;

/** An element with a class and parts, which are texts or elements. */
export function element(tag, parts = [], className = "") {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...[parts].flat());
  return made;
}

/** The answer for a file, with its picture. */
export function answerCard(file, name, answer) {
  const picture = element("img");
  picture.alt = "";
  picture.src = URL.createObjectURL(file);
  picture.onload = () => URL.revokeObjectURL(picture.src);
  const parts = [element("h2", answer.unsure ? "Unsure" : answer.words ?? answer.predicted)];
  if (answer.bars.length) parts.push(drawn(answer.bars));
  if (answer.note) parts.push(element("p", answer.note, "interval"));
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

function drawn(bars) {
  const rows = bars.map(({ name, share }) => {
    const fill = element("span"), track = element("span", fill, "track");
    fill.style.width = percent(share).replace(" ", "");
    track.setAttribute("aria-hidden", "true");
    return element("li", [element("span", name, "class"), track, element("span", percent(share), "share")]);
  });
  return element("ul", rows, "bars");
}
