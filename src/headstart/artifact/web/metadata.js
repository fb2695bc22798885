/** What EXIF and XMP say of how a picture is to be turned. */

const ORIENTATION = 0x0112;

/**
 * The orientation in an EXIF block, 1 to 8; null if it says none.
 * @param {Uint8Array} exif a TIFF, perhaps after "Exif\0\0"
 */
export function orientationOfExif(exif) {
  const begin = latin(exif, 0, 6) === "Exif\0\0" ? 6 : 0;
  const view = new DataView(exif.buffer, exif.byteOffset + begin, exif.byteLength - begin);
  if (view.byteLength < 8) return null;
  const little = latin(exif, begin, 2) === "II";
  if (!little && latin(exif, begin, 2) !== "MM") return null;
  const at = view.getUint32(4, little);
  if (at + 2 > view.byteLength) return null;
  for (let i = 0; i < view.getUint16(at, little); i += 1) {
    const entry = at + 2 + 12 * i;
    if (entry + 12 > view.byteLength) return null;
    if (view.getUint16(entry, little) === ORIENTATION) return view.getUint16(entry + 8, little);
  }
  return null;
}

/** The same of an XMP packet. */
export function orientationOfXmp(xmp) {
  const found = /tiff:Orientation(?:="|>)([0-9])/.exec(latin(xmp, 0, xmp.length));
  return found ? Number(found[1]) : null;
}

/** Bytes as text, one sign a byte. */
export function latin(bytes, begin, length) {
  const parts = [];
  const end = Math.min(bytes.length, begin + length);
  for (let at = begin; at < end; at += 8192) parts.push(String.fromCharCode(...bytes.subarray(at, Math.min(end, at + 8192))));
  return parts.join("");
}
