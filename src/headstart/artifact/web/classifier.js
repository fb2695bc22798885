/** The model: from an image file to an answer. All that it needs is in the folder of this page. */

import * as ort from "./onnxruntime-web.js";
import { distanceFrom, readFamiliarity } from "./familiarity.js";
import { decoded } from "./pixels.js";
import { TASKS } from "./tasks.js";
import { views } from "./views.js";

/**
 * @typedef {object} Doubts
 * @property {number[]} probabilities in the order of the model's classes; of a model of numbers, the number
 * @property {number | null} distance from the training images, 0 to 2; null if the model did not record them
 * @property {boolean} unfamiliar whether it is farther away than images of their kind
 * @typedef {import("./tasks.js").Decision & Doubts} Answer
 */

const addressOf = (name) => new URL(name, import.meta.url).href;

/** @param {string} name of a file of this folder */
async function content(name) {
  const response = await fetch(addressOf(name));
  if (!response.ok) throw new Error(`${name} cannot be loaded: ${response.status} ${response.statusText}`);
  return response.arrayBuffer();
}

async function aboutModel() {
  return JSON.parse(new TextDecoder().decode(await content("model.json")));
}

async function openSession() {
  ort.env.wasm.numThreads = 1; // more would need headers that few hosts send
  ort.env.wasm.wasmBinary = await content("ort-wasm-simd-threaded.wasm");
  ort.env.logLevel = "error";
  // Given an address, the runtime is made ready before the network is there.
  return ort.InferenceSession.create(addressOf("model.onnx"), { executionProviders: ["wasm"] });
}

export class Classifier {
  /** Loads the model. Its parts come and are made ready at the same time: the runtime is compiled while the network is on its way. */
  static async load() {
    const [about, session] = [aboutModel(), openSession()];
    const familiarity = about.then(async ({ has_familiarity: has }) => has && readFamiliarity(await content("familiarity.safetensors")));
    return new Classifier(...await Promise.all([about, session, familiarity]));
  }

  constructor(about, session, familiarity) {
    this.about = about;
    this.session = session;
    this.familiarity = familiarity || null;
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

  /** Runs everything once, so that the first image need not wait until all is compiled. */
  async warmUp() {
    const width = 640, height = 480, rgb = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 31) & 255);
    await this.answerViews(views({ width, height, rgb }, this.about.preprocess));
  }

  /** The answer for pixels that are cut already. */
  async answerViews(pixels) {
    const { task, output, preprocess } = this.about, side = preprocess.size_px, n = pixels.length / (side * side * 3);
    const views = new ort.Tensor("uint8", pixels, n > 1 ? [1, n, side, side, 3] : [1, side, side, 3]);
    const found = await this.session.run({ views }), probabilities = Array.from(found[output].data);
    const distance = this.familiarity && distanceFrom(this.familiarity, found.features.data);
    return {
      ...TASKS[task].decide(probabilities, this.about),
      probabilities,
      distance,
      unfamiliar: distance !== null && distance > this.familiarity.threshold,
    };
  }
}
