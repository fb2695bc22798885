/** Whether an image resembles those that the model was trained on, as model/familiarity.py has it. */

const NEIGHBOURS = 5;
const FARTHEST = 2;

/**
 * The training images in feature space, from a safetensors file.
 * @param {ArrayBuffer} content
 */
export function readFamiliarity(content) {
  const view = new DataView(content), length = Number(view.getBigUint64(0, true)), begin = 8 + length;
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(content, 8, length)));
  const of = (name) => ({ at: begin + header[name].data_offsets[0], shape: header[name].shape });
  const { at, shape: [count, width] } = of("references");
  const references = new Float32Array(count * width), numbers = Float32Array.from({ length: 1 << 16 }, (_, bits) => half(bits));
  for (let i = 0; i < references.length; i += 1) references[i] = numbers[view.getUint16(at + 2 * i, true)];
  const scales = new Float32Array(count).fill(1);
  if (header.scales) scales.forEach((_, i) => { scales[i] = view.getFloat32(of("scales").at + 4 * i, true); });
  return { references, scales, count, width, threshold: view.getFloat64(of("threshold").at, true) };
}

/** The distance of (n_features) features from the training images, 0 to 2. */
export function distanceFrom({ references, scales, count, width }, features) {
  let squares = 0;
  for (let i = 0; i < width; i += 1) squares += features[i] * features[i];
  const size = Math.max(Math.sqrt(squares), 1e-12);
  const likeness = Float64Array.from({ length: count }, (_, row) => {
    let sum = 0;
    for (let i = 0, at = row * width; i < width; i += 1, at += 1) sum += references[at] * features[i];
    return (sum / size) * scales[row] + (1 - scales[row]);
  }).sort();
  const nearest = likeness.subarray(-NEIGHBOURS);
  return Math.min(FARTHEST, Math.max(0, 1 - nearest.reduce((sum, one) => sum + one, 0) / nearest.length));
}

/** A number of 16 bits (IEEE 754). */
function half(bits) {
  const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 0x1f, fraction = bits & 0x3ff;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * 2 ** (exponent - 15) * (1 + fraction / 1024);
}
