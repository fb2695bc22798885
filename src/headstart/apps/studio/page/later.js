/**
 * Something that is done a moment later, once however often it is asked for meanwhile.
 * @param {() => void} act
 * @param {number} ms
 * @param {AbortSignal} [signal] drops what has not been done
 * @returns {() => void}
 */
export function later(act, ms, signal) {
  let waiting = 0;
  signal?.addEventListener("abort", () => clearTimeout(waiting));
  return () => {
    waiting ||= setTimeout(() => {
      waiting = 0;
      act();
    }, ms);
  };
}
