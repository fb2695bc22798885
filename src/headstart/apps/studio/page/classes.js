/** Classes and their keys: 1 to 9, then letters; all others are found by typing. */

import { button, key, make } from "./elements.js";
import { store } from "./store.js";
import { say, trying } from "./told.js";

/** Letters that mean something else: c new class, g go to, k keep, n skip, o open, s suggestion, u undo, x exclude. */
const KEYS = [..."123456789", ..."abdefhijlmpqrtvwyz"];

/** The key of a class, or null where there are more classes than keys. */
const keyOf = (number) => KEYS[number] ?? null;

/** The class of a key event, or null. */
export function classOfKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return null;
  const number = KEYS.indexOf(event.key.toLowerCase());
  return number >= 0 && number < store.classes.length ? number : null;
}

/**
 * Buttons for the classes that have a key, a field that finds any class, and one for a new class.
 * @param {(number: number) => void} choose
 */
export function classButtons(choose) {
  const buttons = store.classes.slice(0, KEYS.length).map((name, number) => {
    const element = button("", () => choose(number), {
      class: "class",
      "aria-keyshortcuts": keyOf(number),
      "aria-label": name,
    });
    element.append(key(keyOf(number)), make("span", { text: name }));
    return element;
  });
  const fresh = button("", () => newClass(choose), {
    class: "class plain",
    "aria-keyshortcuts": "c",
    "aria-label": "New class",
  });
  fresh.append(key("c"), make("span", { text: "New class" }));
  const find = button("", () => findClass(choose), {
    class: "class plain",
    "aria-keyshortcuts": "/",
    "aria-label": "Find a class",
  });
  find.append(key("/"), make("span", { text: "Find" }));
  return make(
    "div",
    { class: "classes", role: "group", "aria-label": "Label as" },
    ...buttons,
    store.classes.length > KEYS.length && find,
    fresh,
  );
}

/** A dialog with one field. @returns {Promise<string|null>} what was entered, or null */
export function question(heading, text, options = [], value = "") {
  const list = make("datalist", { id: "known" }, ...options.map((name) => make("option", { value: name })));
  const input = make("input", { type: "text", list: "known", required: true, autocomplete: "off", id: "answer", value });
  const dialog = make("dialog", { class: "small", "aria-labelledby": "question" });
  const form = make(
    "form",
    { method: "dialog" },
    make("h2", { id: "question", text: heading }),
    make("label", { for: "answer", text }),
    input,
    list,
    make(
      "div",
      { class: "buttons" },
      make("button", { text: "OK", value: "ok", class: "main" }),
      button("Cancel", () => dialog.close("")),
    ),
  );
  dialog.append(form);
  document.body.append(dialog);
  dialog.addEventListener("keydown", (event) => event.stopPropagation());
  return new Promise((answer) => {
    dialog.addEventListener("close", () => {
      answer(dialog.returnValue === "ok" && input.value.trim() ? input.value.trim() : null);
      dialog.remove();
    });
    dialog.showModal();
    input.focus();
  });
}

/** Asks for a name, makes the class and hands its number on. */
export async function newClass(choose) {
  const name = await question("New class", "Name of the class");
  if (name === null) return;
  await trying(async () => {
    const known = store.classes.indexOf(name);
    const number = known >= 0 ? known : await store.makeClass(name);
    say(known >= 0 ? `${name} is a class already.` : `${name} is a new class.`);
    choose?.(number);
  });
}

/** Finds a class by typing; a name that is new makes a class. */
export async function findClass(choose) {
  const name = await question("Label as", "Class (type to find it; a new name makes a new class)", store.classes);
  if (name === null) return;
  await trying(async () => {
    const known = store.classes.indexOf(name);
    choose(known >= 0 ? known : await store.makeClass(name));
  });
}
