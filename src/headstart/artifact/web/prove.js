/** Answers the images that `headstart export` sends, so that it can compare; not part of an export. */

import { Classifier } from "./classifier.js";
import { Refusal } from "./refusal.js";

async function send(said) {
  await fetch("answer", { method: "POST", body: JSON.stringify(said) });
}

async function said(classifier, file) {
  try {
    const { predicted, unsure, set, ends, probabilities, distance } = await classifier.answer(file);
    return { predicted, unsure, set, ends, probabilities, distance };
  } catch (error) {
    return error instanceof Refusal ? { refused: error.message } : { failed: String(error) };
  }
}

try {
  const classifier = await Classifier.load();
  for (;;) await send(await said(classifier, await (await fetch("next")).blob()));
} catch (error) {
  await send({ failed: String(error) });
}
