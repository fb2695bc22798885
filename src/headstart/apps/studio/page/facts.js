/** Paths, digests and sizes of the rows that are looked at: asked for in batches, the latest few thousand kept. */

import { post } from "./api.js";

const KEPT = 20000,
  AT_ONCE = 500;
const known = new Map();
const asked = new Map(); // row -> promise of its batch

/** What is known of a row already, or undefined. */
export const fact = (row) => known.get(row);

/**
 * Facts of rows, in their order; what is not known is asked for.
 * @param {Iterable<number>} rows
 * @returns {Promise<object[]>}
 */
export async function facts(rows, signal) {
  const wanted = [...rows];
  const missing = wanted.filter((row) => !known.has(row) && (signal || !asked.has(row)));
  const batches = wanted.map((row) => asked.get(row)).filter(Boolean);
  for (let start = 0; start < missing.length; start += AT_ONCE) {
    const batch = missing.slice(start, start + AT_ONCE);
    const reading = post("api/rows", { rows: batch }, signal).then(keep);
    if (!signal) {
      for (const row of batch) asked.set(row, reading);
      const forget = () => {
        for (const row of batch) asked.delete(row);
      };
      reading.then(forget, forget);
    }
    batches.push(reading);
  }
  await Promise.all(batches);
  return wanted.map((row) => known.get(row));
}

function keep(answers) {
  for (const answer of answers) {
    known.delete(answer.row);
    known.set(answer.row, answer);
  }
  for (const row of known.keys()) {
    if (known.size <= KEPT) break;
    known.delete(row);
  }
}

/** Forgets all: findings and scores change with the model and the scan, digests with the scan. */
export function forgetFacts() {
  known.clear();
}
