/** The page that tries the model: drop, paste, choose or photograph an image, and see the answer with its reasons. */

import { postImage } from "./api.js";
import { camera } from "./camera.js";
import { button, make, percent } from "./elements.js";
import { explainButton } from "./explain.js";
import { store } from "./store.js";
import { strip } from "./strip.js";
import { say, trying } from "./told.js";

const SHOWN = 5,
  AT_ONCE = 20;

/** Shows the page in `place` until `signal` aborts. */
export function tryOut(place, signal) {
  const answers = make("ol", { class: "answers", reversed: true, "aria-label": "Answers" });
  const add = (files) => addAll([...files], answers, signal);
  const input = make("input", {
    type: "file",
    accept: "image/*",
    multiple: true,
    id: "files",
    class: "hidden",
    tabindex: "-1",
    "aria-label": "Images",
  });
  input.addEventListener("change", () => {
    add(input.files);
    input.value = "";
  });
  const shot = make("div", {});
  const drop = make(
    "div",
    { class: "drop" },
    make("p", {}, make("strong", { text: "Drop images here" }), " or paste them."),
    make(
      "div",
      { class: "buttons" },
      button("Choose files", () => input.click(), { class: "main" }),
      button("Use the camera", () => trying(() => camera(shot, (image) => add([image]), signal))),
    ),
    make("p", { class: "quiet", text: "They are sent to this server and to nobody else. They are not added to the project." }),
    input,
  );
  for (const kind of ["dragenter", "dragover", "dragleave", "drop"]) {
    document.addEventListener(
      kind,
      (event) => {
        event.preventDefault();
        drop.classList.toggle("over", kind === "dragenter" || kind === "dragover");
        if (kind === "drop") add(event.dataTransfer.files);
      },
      { signal },
    );
  }
  document.addEventListener(
    "paste",
    (event) => {
      if (event.clipboardData.files.length) add(event.clipboardData.files);
    },
    { signal },
  );
  place.replaceChildren(make("div", { class: "column" }, make("h1", { text: "Try the model" }), drop, shot, answers));
}

async function addAll(files, answers, signal) {
  if (files.length > AT_ONCE) say(`The first ${AT_ONCE} of ${files.length} images are tried.`);
  for (const file of files.slice(0, AT_ONCE)) {
    const url = URL.createObjectURL(file);
    signal.addEventListener("abort", () => URL.revokeObjectURL(url));
    const image = make("img", { src: url, alt: file.name ?? "Photograph" });
    image.addEventListener("error", () =>
      image.replaceWith(make("span", { class: "missing", text: "The browser cannot show this file." })),
    );
    const frame = make("div", { class: "frame" }, image);
    const body = make("div", { class: "panel" }, make("p", { class: "quiet", text: "Asking the model …" }));
    answers.prepend(
      make(
        "li",
        { class: "answer card" },
        make("div", { class: "panel" }, frame, make("span", { class: "quiet", text: file.name ?? "" })),
        body,
      ),
    );
    try {
      await show(await postImage("api/try", file, signal), file, frame, body);
    } catch (error) {
      if (error.name === "AbortError") return;
      body.replaceChildren(
        make("h2", { text: "No answer" }),
        make("p", { class: "doubt", role: "alert", text: `${error.message} ${error.hint ?? ""}` }),
      );
    }
  }
}

async function show(answer, file, frame, body) {
  const name = store.className(answer.predicted);
  say(`${file.name ?? "Photograph"}: ${name}, ${percent(answer.probability)}`);
  const ranked = answer.probabilities
    .map((share, number) => ({ share, number }))
    .sort((one, other) => other.share - one.share)
    .slice(0, SHOWN);
  const bars = make(
    "div",
    { class: "bars" },
    ...ranked.flatMap(({ share, number }) => [
      make("span", { text: store.className(number) }),
      make("div", { class: "meter" }, make("i", { vars: { "--share": `${100 * share}%` } })),
      make("span", { class: "number", text: percent(share) }),
    ]),
  );
  const nearest = await Promise.all(
    answer.nearest.map((group) => strip(`Nearest images labelled ${store.className(group.class)}`, group.rows)),
  );
  body.replaceChildren(
    make("h2", { text: `${name}, ${percent(answer.probability)}` }),
    answer.unfamiliar
      ? make("p", { class: "finding", text: "Unlike the images the model was trained on: do not rely on the answer." })
      : "",
    bars,
    make("p", { class: "quiet", text: "Do the nearest training images look like yours? If not, doubt the answer." }),
    ...nearest.filter(Boolean),
    explainButton(frame, { image: file }),
  );
}
