/** The page that reviews: the audit's queues, then one image after the other. */

import { read } from "./api.js";
import { Decider } from "./decider.js";
import { count, counted, make } from "./elements.js";
import { reviewedCard } from "./reviewed.js";
import { address, onMove, where } from "./state.js";
import { store } from "./store.js";
import { trying } from "./told.js";

const NEXT = "next",
  SAMPLE = "sample";

/** Shows the page in `place` until `signal` aborts. */
export function review(place, signal) {
  let inside = new AbortController();
  const draw = () => {
    inside.abort();
    inside = new AbortController();
    return trying(() => (where().parameters.has("queue") ? decideIn(place, inside.signal) : list(place, inside.signal)));
  };
  let shown = where().parameters.get("queue");
  signal.addEventListener(
    "abort",
    onMove(({ view, parameters }) => {
      if (view !== "review" || parameters.get("queue") === shown) return;
      shown = parameters.get("queue");
      draw();
    }),
  );
  signal.addEventListener("abort", () => inside.abort());
  return draw();
}

async function decideIn(place, signal) {
  const name = where().parameters.get("queue");
  const info = (await read("api/queues")).find((queue) => queue.name === name);
  if (signal.aborted) return;
  if (!info) throw Object.assign(new Error(`There is no queue ${name}.`), { hint: "Choose one on the page Review." });
  const decider = new Decider(info, signal);
  if (name === SAMPLE) {
    const told = make("p", { class: "quiet" });
    decider.element.querySelector(".bar").after(told);
    decider.element.classList.add("with-note");
    const note = () =>
      trying(async () => {
        told.textContent = (await read("api/reviewed")).sentence ?? "";
      });
    decider.after = () =>
      setTimeout(() => {
        if (!signal.aborted) note();
      }, 500);
    note();
  }
  place.replaceChildren(decider.element);
  await decider.start();
}

async function list(place, signal) {
  const column = make(
    "div",
    { class: "column" },
    make("h1", { text: "Review" }),
    make("p", {
      text: "Each queue shows images that deserve a look, the most doubtful first. One key decides; all can be undone.",
    }),
  );
  const queues = make("ul", { class: "queues" });
  const sample = make("div", {});
  const draw = async () => {
    const all = await read("api/queues", signal);
    const shown = all.filter((queue) => queue.name !== NEXT && (queue.n > 0 || queue.done > 0));
    queues.replaceChildren(...shown.map(card));
    if (!shown.length) queues.replaceChildren(make("li", { class: "quiet", text: "The audit has found nothing to review." }));
    sample.replaceChildren(await reviewedCard(signal));
  };
  await draw();
  store.on("model scan", () => trying(draw), signal);
  column.append(queues, sample);
  place.replaceChildren(column);
}

function card(queue) {
  const all = queue.n + queue.done;
  return make(
    "li",
    {},
    make(
      "a",
      { href: address("review", { queue: queue.name }) },
      make("h2", {}, make("span", { text: queue.title }), make("span", { class: "number", text: count(queue.n) })),
      make("p", { class: "quiet", text: queue.meaning }),
      make("span", { class: "meter" }, make("i", { vars: { "--share": `${all ? (100 * queue.done) / all : 0}%` } })),
      make("span", { class: "quiet", text: `${counted(queue.done, "image")} decided on, ${count(queue.n)} left` }),
    ),
  );
}
