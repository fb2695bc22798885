/** Where the user is: a view and its parameters, kept in the URL's hash. A reload or a link comes back to the same place. */

const START = "browse",
  NOTE_MS = 250;
let noted = {},
  writing = 0,
  written = 0;
const listeners = new Set();

/** @returns {{view: string, parameters: URLSearchParams}} */
export function where() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split(/\?(.*)/s);
  const parameters = new URLSearchParams(query);
  for (const [name, value] of Object.entries(noted)) {
    if (value === null) parameters.delete(name);
    else parameters.set(name, value);
  }
  return { view: path || START, parameters };
}

/** The address of a place, for links. */
export function address(view, parameters = {}) {
  const query = parameters instanceof URLSearchParams ? parameters : toParameters(parameters);
  return query.size ? `#/${view}?${query}` : `#/${view}`;
}

/** Parameters from an object; lists give one entry for each value, what is null, undefined, false or empty none. */
function toParameters(values) {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== false && one !== "") parameters.append(name, one === true ? "1" : one);
    }
  }
  return parameters;
}

/** Goes to a place. `replace`: without a step for the back button. */
export function go(view, parameters = {}, { replace = false } = {}) {
  const target = address(view, parameters);
  writeNotes();
  if (target === location.hash) return;
  history[replace ? "replaceState" : "pushState"](null, "", target);
  for (const listener of listeners) listener(where());
}

/** Changes parameters of the place where the user is; null takes one out. */
export function adjust(changes, options = {}) {
  const { view, parameters } = where();
  for (const [name, value] of Object.entries(changes)) {
    parameters.delete(name);
    for (const [key, one] of toParameters({ [name]: value })) parameters.append(key, one);
  }
  go(view, parameters, options);
}

/**
 * Notes something in the URL without telling anybody, such as how far the grid is scrolled.
 * Written a few times a second at most: browsers stop a page that changes its address more often.
 */
export function note(changes) {
  Object.assign(noted, changes);
  const early = written + NOTE_MS - performance.now();
  if (early <= 0) writeNotes();
  else writing ||= setTimeout(writeNotes, early);
}

function writeNotes() {
  clearTimeout(writing);
  writing = 0;
  if (!Object.keys(noted).length) return;
  const { view, parameters } = where();
  noted = {};
  written = performance.now();
  history.replaceState(null, "", address(view, parameters));
}

/** Calls back at every move, also by the back button. @returns {() => void} stops it */
export function onMove(listener) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

window.addEventListener("pagehide", writeNotes);
window.addEventListener("popstate", () => {
  noted = {}; // they were of the place that was left
  for (const listener of listeners) listener(where());
});

/** A token that came with the link, taken out of the address at once. */
export function takeToken() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return null;
  history.replaceState(null, "", location.pathname);
  return decodeURIComponent(found[1]);
}
