/** The model: from an image file to an answer. All that it needs is in the folder of this page. */

import * as ort from "./onnxruntime-web.js";
import { distanceFrom, readFamiliarity } from "./familiarity.js";
import { decoded } from "./pixels.js";
import { views } from "./views.js";

/**
 * @typedef {object} Answer
 * @property {string} predicted the most probable class
 * @property {boolean} unsure whether it is not probable enough to be the answer
 * @property {number[]} probabilities in the order of the model's classes
 * @property {string[] | null} set the classes that cannot be ruled out; null if the model has no such sets
 * @property {number | null} distance from the training images, 0 to 2; null if the model did not record them
 * @property {boolean} unfamiliar whether it is farther away than images of their kind
 */

/** @param {string} name of a file of this folder */
async function content(name) {
  const response = await fetch(new URL(name, import.meta.url));
  if (!response.ok) throw new Error(`${name} cannot be loaded: ${response.status} ${response.statusText}`);
  return response.arrayBuffer();
}

export class Classifier {
  /** Loads the model. */
  static async load() {
    const about = JSON.parse(new TextDecoder().decode(await content("model.json")));
    const [wasm, network, familiarity] = await Promise.all([
      content("ort-wasm-simd-threaded.wasm"), content("model.onnx"), about.has_familiarity ? content("familiarity.safetensors") : null,
    ]);
    ort.env.wasm.numThreads = 1; // more would need headers that few hosts send
    ort.env.wasm.wasmBinary = wasm;
    ort.env.logLevel = "error";
    const session = await ort.InferenceSession.create(network, { executionProviders: ["wasm"] });
    return new Classifier(about, session, familiarity && readFamiliarity(familiarity));
  }

  constructor(about, session, familiarity) {
    this.about = about;
    this.session = session;
    this.familiarity = familiarity;
  }

  /**
   * The answer for an image file. Throws a Refusal, whose message is the reason, for what cannot be answered as in Python.
   * @param {Blob} file
   * @returns {Promise<Answer>}
   */
  async answer(file) {
    const { preprocess } = this.about;
    return this.answerViews(views(await decoded(file, preprocess.decode_px), preprocess));
  }

  /** The answer for pixels that are cut already. */
  async answerViews(pixels) {
    const { classes, preprocess, min_confidence: minConfidence, min_probability: minProbability } = this.about;
    const side = preprocess.size_px, n = pixels.length / (side * side * 3);
    const views = new ort.Tensor("uint8", pixels, n > 1 ? [1, n, side, side, 3] : [1, side, side, 3]);
    const found = await this.session.run({ views });
    const probabilities = Array.from(found.probabilities.data), order = probabilities.map((_, i) => i);
    order.sort((one, other) => probabilities[other] - probabilities[one] || one - other);
    const distance = this.familiarity && distanceFrom(this.familiarity, found.features.data);
    const inSet = (i, place) => place === 0 || probabilities[i] >= minProbability;
    return {
      predicted: classes[order[0]],
      unsure: probabilities[order[0]] < minConfidence,
      probabilities,
      set: minProbability === null ? null : order.filter(inSet).map((i) => classes[i]),
      distance,
      unfamiliar: distance !== null && distance > this.familiarity.threshold,
    };
  }
}
