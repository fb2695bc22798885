/**
 * What an answer is, where that differs between kinds of models: one object for each --task, as in headstart's tasks/.
 *
 * @typedef {object} Decision what is said of an image
 * @property {string} predicted the answer, or what it would be if the model were sure enough
 * @property {string} [words] the same as people read it, where that differs
 * @property {boolean} unsure whether it is not probable enough to be the answer
 * @property {string[] | null} set what cannot be ruled out; null if the model has no such sets
 * @property {{ name: string, share: number }[]} bars what is drawn of the probabilities; of numbers nothing
 * @property {[number, number] | null} [ends] of the interval around a number; null if the model has none
 * @property {string} [note] the same as people read it
 *
 * @typedef {object} Task
 * @property {(probabilities: number[], about: object) => Decision} decide from what the network gives, and model.json
 */

const MOST_BARS = 5;
const SEPARATOR = "/"; // between the levels of nested classes
const BETWEEN = "|"; // several labels in a text; alone it is none of them

/** @type {Record<string, Task>} */
export const TASKS = {
  "single-label": {
    decide(probabilities, about) {
      const order = inOrder(probabilities);
      return { ...chosen(order[0], probabilities, about), set: likely(order, probabilities, about), bars: bars(order, probabilities, about) };
    },
  },

  /** The answer is the median grade; a set goes from its lowest grade to its highest without a gap. */
  ordinal: {
    decide(probabilities, about) {
      const median = medianOf(probabilities), order = inOrder(probabilities);
      const kept = about.min_probability === null ? null : [...order.filter((i) => probabilities[i] >= about.min_probability), median];
      const set = kept && about.classes.slice(Math.min(...kept), Math.max(...kept) + 1);
      const drawn = order.slice(0, MOST_BARS).sort((one, other) => one - other);
      return { ...chosen(median, probabilities, about), set, bars: bars(drawn, probabilities, about) };
    },
  },

  /** The answer is the lowest node, from the most probable class upwards, that is probable enough; else the highest. */
  nested: {
    decide(probabilities, about) {
      const order = inOrder(probabilities), path = about.classes[order[0]].split(SEPARATOR);
      const above = path.map((_, i) => path.slice(0, path.length - i).join(SEPARATOR));
      const shares = above.map((node) => shareOf(node, probabilities, about.classes));
      const level = shares.findIndex((share) => share >= about.min_confidence);
      return {
        predicted: above.at(level), // -1: the highest
        unsure: level < 0,
        set: likely(order, probabilities, about),
        bars: bars(order, probabilities, about),
      };
    },
  },

  /** The answer is every label whose threshold is reached; a set is all of at least the model's probability. */
  "multi-label": {
    decide(probabilities, about) {
      const order = inOrder(probabilities), { classes, thresholds, min_probability: limit } = about;
      const said = classes.filter((_, i) => probabilities[i] >= thresholds[i]);
      const set = limit === null ? null : order.filter((i) => probabilities[i] >= limit).map((i) => classes[i]);
      return {
        predicted: said.join(BETWEEN) || BETWEEN,
        words: said.join(", ") || "None of the labels",
        unsure: false,
        set,
        bars: bars(order, probabilities, about),
      };
    },
  },

  /** The answer is the number; the interval around it is as wide as the model is usually off there. */
  regression: {
    decide([number], { intervals }) {
      const answer = { predicted: String(number), words: digits(number), unsure: false, set: null, bars: [] };
      if (!intervals) return { ...answer, ends: null };
      const half = between(intervals.answers, intervals.half_widths, number), ends = [number - half, number + half];
      const share = `${Number((100 * intervals.coverage).toPrecision(4))} %`;
      return { ...answer, ends, note: `Between ${ends.map(digits).join(" and ")}, for ${share} of images like the training images` };
    },
  },
};

/** A number as people read it: with four digits. */
function digits(number) {
  return String(Number(number.toPrecision(4)));
}

/** The value at a place among increasing places with (as many) values: it changes evenly between them, and not beyond them. */
function between(places, values, place) {
  const above = places.findIndex((one) => one > place);
  if (above === 0 || above < 0) return values.at(above);
  const part = (place - places[above - 1]) / (places[above] - places[above - 1]);
  return values[above - 1] + part * (values[above] - values[above - 1]);
}

/** The places of the probabilities, the highest first. */
function inOrder(probabilities) {
  return probabilities.map((_, i) => i).sort((one, other) => probabilities[other] - probabilities[one] || one - other);
}

/** A class as the answer. */
function chosen(place, probabilities, { classes, min_confidence: limit }) {
  return { predicted: classes[place], unsure: probabilities[place] < limit };
}

/** The classes of at least the model's probability, and the answer. */
function likely(order, probabilities, { classes, min_probability: limit }) {
  return limit === null ? null : order.filter((i, place) => place === 0 || probabilities[i] >= limit).map((i) => classes[i]);
}

function bars(places, probabilities, { classes }) {
  return places.slice(0, MOST_BARS).map((i) => ({ name: classes[i], share: probabilities[i] }));
}

function medianOf(probabilities) {
  const half = sumOf(probabilities) / 2;
  let sum = 0;
  const place = probabilities.findIndex((share) => (sum += share) >= half);
  return place < 0 ? probabilities.length - 1 : place;
}

/** The probability of all classes at or below a node. */
function shareOf(node, probabilities, classes) {
  return sumOf(probabilities.filter((_, i) => classes[i] === node || classes[i].startsWith(node + SEPARATOR)));
}

function sumOf(numbers) {
  return numbers.reduce((sum, one) => sum + one, 0);
}
