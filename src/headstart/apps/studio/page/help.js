/** All keys on one sheet. */

import { button, make } from "./elements.js";

const SHEETS = {
  Everywhere: [
    ["u", "undo"],
    ["Shift+U", "redo"],
    ["g then b, r, l, m, p, t, y", "Browse, Review, Label, Model, Map, Train, Try"],
    ["?", "this sheet"],
  ],
  Browse: [
    ["arrows, Page, Home, End", "move"],
    ["Space", "select"],
    ["Shift+arrows", "select a range"],
    ["Ctrl+A", "select all that match"],
    ["Enter", "open the image"],
    ["1–9, letters", "label the selected images"],
    ["x", "exclude them"],
    ["/", "find a class to label them"],
    ["f", "go to the filter"],
    ["Esc", "clear the selection, close the image"],
  ],
  "Review and Label": [
    ["1–9, letters", "the class with that key"],
    ["k", "keep the label"],
    ["s", "take the suggestion"],
    ["x", "exclude"],
    ["n", "skip"],
    ["u", "undo and go back"],
    ["c", "new class"],
    ["/", "find a class"],
    ["← →", "which image of a pair"],
    ["o", "open the image in Browse"],
  ],
  Map: [
    ["arrows", "move"],
    ["+ and −", "zoom"],
    ["0", "show all"],
    ["Enter", "browse the images in view"],
  ],
};

export function showHelp() {
  const dialog = make(
    "dialog",
    { class: "help", "aria-labelledby": "help-title" },
    make(
      "div",
      { class: "bar" },
      make("h2", { id: "help-title", text: "Keys" }),
      make("span", { class: "grow" }),
      button("Close", () => dialog.close(), { class: "plain" }),
    ),
    make(
      "div",
      { class: "sheets" },
      ...Object.entries(SHEETS).map(([heading, keys]) =>
        make(
          "section",
          {},
          make("h3", { text: heading }),
          make(
            "dl",
            {},
            ...keys.flatMap(([name, meaning]) => [make("dt", {}, make("kbd", { text: name })), make("dd", { text: meaning })]),
          ),
        ),
      ),
    ),
    make("p", { class: "quiet", text: "Labels are kept in the project; your image files are never changed." }),
  );
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
