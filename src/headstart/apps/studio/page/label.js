/** The page that labels: what teaches the model most comes next, and a class can be made at any moment. */

import { read } from "./api.js";
import { Decider } from "./decider.js";
import { count, make, percent } from "./elements.js";
import { address } from "./state.js";
import { NONE, store } from "./store.js";
import { trying } from "./told.js";

const NAME = "next";
const LIKELY = {
  low: ", likely too low, as hard images are asked for",
  high: ", likely too high, as typical images are asked for first",
};

/** Shows the page in `place` until `signal` aborts. */
export async function label(place, signal) {
  const info = (await read("api/queues")).find((queue) => queue.name === NAME) ?? {
    name: NAME,
    title: "What to label next",
    meaning: "",
  };
  if (signal.aborted) return;
  const decider = new Decider(info, signal);
  const progress = make("p", { class: "quiet", role: "status" });
  const enough = make("p", { class: "quiet", role: "status" });
  decider.element
    .querySelector(".bar a")
    .replaceWith(make("a", { href: address("browse", { unlabelled: true }), text: "All unlabelled images" }));
  decider.element.querySelector(".bar").after(make("div", {}, progress, enough));
  decider.element.classList.add("with-note");
  const draw = () =>
    trying(async () => {
      const model = await read("api/model", signal);
      progress.textContent = howFar(model);
      if (enough.textContent !== (model.enough ?? "")) enough.textContent = model.enough ?? "";
    });
  store.on("model", draw, signal);
  store.on("classes", draw, signal);
  draw();
  place.replaceChildren(decider.element);
  await decider.start();
}

/** Labels so far and the accuracy. */
function howFar(model) {
  if (!store.classes.length) return "Press c and type what the image shows, such as ants: that makes the first class.";
  const unlabelled = store.columns.get("label").reduce((sum, value) => sum + Number(value === NONE), 0);
  const parts = [`${count(store.n - unlabelled)} labelled, ${count(unlabelled)} not.`];
  if (model.accuracy !== null && model.accuracy !== undefined)
    parts.push(`Accuracy by cross-validation: ${percent(model.accuracy)}${but(model)}.`);
  return parts.join(" ");
}

/** What is to be known of an accuracy on images that were asked for. */
function but(model) {
  return LIKELY[model.likely_too] ?? (model.caution ? ", on images that were chosen and not drawn" : "");
}
