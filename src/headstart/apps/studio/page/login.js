/** Asks for the token where the server wants one. */

import { useToken } from "./api.js";
import { make } from "./elements.js";

/** A dialog that stays until a token is right. @returns {Promise<void>} */
export function askForToken() {
  const input = make("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
  const wrong = make("p", { class: "doubt", role: "alert" });
  const form = make(
    "form",
    {},
    make("h2", { id: "login-title", text: "This server asks for a token" }),
    make("p", {
      class: "quiet",
      text: "It was printed where headstart studio was started, or is in the file of --token-file.",
    }),
    make("label", { for: "token", text: "Token" }),
    input,
    wrong,
    make("div", { class: "buttons" }, make("button", { class: "main", text: "Use" })),
  );
  const dialog = make("dialog", { class: "small", "aria-labelledby": "login-title" }, form);
  document.body.append(dialog);
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  dialog.showModal();
  return new Promise((entered) => {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        await useToken(input.value);
      } catch (error) {
        wrong.textContent = `${error.message} ${error.hint ?? ""}`;
        input.select();
        return;
      }
      dialog.close();
      dialog.remove();
      entered();
    });
  });
}
