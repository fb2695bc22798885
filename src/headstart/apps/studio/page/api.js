/** The server's HTTP API. All paths are relative to the page, so that it also works behind a prefix. */

const ARRAYS = { int32: Int32Array, float32: Float32Array, uint8: Uint8Array, uint32: Uint32Array };
const TOKEN = "token",
  WINDOW = "window",
  NAME_BYTES = 9;
const NO_ANSWER = "The server does not answer.";

/** The server said no: its sentence, its hint and the whole answer. */
class Refusal extends Error {
  constructor(status, answer) {
    super(answer.error ?? `The server answered with status ${status}.`);
    this.name = "Refusal";
    this.status = status;
    this.hint = answer.hint ?? "";
    this.answer = answer;
  }
}

/** Nobody answered: the server is away, or the network. */
export class Unreachable extends Error {
  constructor(cause) {
    super(NO_ANSWER, { cause });
    this.name = "Unreachable";
    this.hint = "Is headstart studio still running?";
  }
}

let login = null; // asks the user for a token: set by login.js
let loggingIn = null; // one question at a time, however many requests wait for it

/** Gives the function that asks for a token when the server wants one. */
export function whenTokenWanted(ask) {
  login = ask;
}

/** Keeps the token for this window and has the server set the cookie that pictures are asked with. */
export async function useToken(token) {
  sessionStorage.setItem(TOKEN, token);
  try {
    await send("api/login", { method: "POST", json: { token } });
  } catch (error) {
    sessionStorage.removeItem(TOKEN);
    throw error;
  }
}

/** The token that is kept, or null. */
export const keptToken = () => sessionStorage.getItem(TOKEN);

/** The name of this window, the same after a reload, so that its decisions can still be undone. */
function windowName() {
  return sessionStorage.getItem(WINDOW) ?? renameWindow();
}

function renameWindow() {
  const name = randomName();
  sessionStorage.setItem(WINDOW, name);
  return name;
}

/** A window that was duplicated has its twin's name: the older keeps it. Two with one name could not tell their conflicts. */
const twins = new BroadcastChannel("headstart-windows");
twins.addEventListener("message", ({ data }) => {
  if (data.asked === windowName()) twins.postMessage({ taken: data.asked, by: born });
  else if (data.taken === windowName() && data.by !== born) renameWindow();
});
const born = crypto.getRandomValues(new Uint32Array(1))[0];
twins.postMessage({ asked: windowName() });

function headers(options) {
  const token = sessionStorage.getItem(TOKEN);
  return {
    ...(token ? { Authorization: `Bearer ${token}` } : {}),
    ...(options.json === undefined ? {} : { "Content-Type": "application/json" }),
    ...(options.method === "POST" ? { "X-Window": windowName() } : {}),
    ...(options.headers ?? {}),
  };
}

async function send(path, options) {
  const body = options.json === undefined ? options.body : JSON.stringify(options.json);
  const request = {
    method: options.method ?? "GET",
    headers: headers(options),
    body,
    signal: options.signal,
    cache: "no-cache",
  };
  let response;
  try {
    response = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable(error);
  }
  if (response.ok) return response;
  throw new Refusal(response.status, await response.json().catch(() => ({})));
}

/**
 * The server's answer to a request; asks the user for a token where it wants one, and asks again.
 * @param {string} path relative to the page
 * @param {{method?: string, json?: unknown, body?: BodyInit, signal?: AbortSignal, headers?: object}} [options]
 * @returns {Promise<Response>} one with a 2xx status; anything else is raised as Refusal, Unreachable or AbortError
 */
export async function ask(path, options = {}) {
  for (;;) {
    try {
      return await send(path, options);
    } catch (error) {
      if (error.status !== 401 || login === null) throw error;
      loggingIn ??= login().finally(() => {
        loggingIn = null;
      });
      await loggingIn;
    }
  }
}

/** JSON of a GET. */
export async function read(path, signal) {
  return (await ask(path, { signal })).json();
}

/** JSON of a POST. */
export async function post(path, json = {}, signal = undefined, headers = {}) {
  return (await ask(path, { method: "POST", json, signal, headers })).json();
}

/** JSON of a POST that changes labels. Sent again with its key, as when the answer was lost, it is still one decision. */
export const postOnce = (path, key, json) => post(path, json, undefined, { "X-Decision": key });

/** A random name. */
export function randomName() {
  return btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(NAME_BYTES)))).replace(/[+/]/g, "-");
}

/** JSON of a POST whose body is an image. */
export async function postImage(path, image, signal) {
  const options = {
    method: "POST",
    body: image,
    signal,
    headers: { "Content-Type": image.type || "application/octet-stream" },
  };
  return (await ask(path, options)).json();
}

/** One value for each row, as a typed array. */
export async function readColumn(name, signal) {
  const response = await ask(`api/columns/${name}`, { signal });
  const Values = ARRAYS[response.headers.get("X-Dtype")];
  return new Values(await response.arrayBuffer());
}

/** The rows that match a filter, sorted. @returns {Promise<Uint32Array>} */
export async function readOrder(order, signal) {
  return new Uint32Array(await (await ask("api/orders", { method: "POST", json: order, signal })).arrayBuffer());
}

/** Where the thumbnail of an image is: 160 or 320 pixels. */
export const thumbnail = (digest, side = 160) => `images/${digest}/thumbnail?side=${side}`;

/** Where the picture itself is, as large as a screen can show it. */
export const picture = (digest) => `images/${digest}`;
