/** The camera: shows what it sees and takes a picture of it. */

import { button, make } from "./elements.js";

const TYPE = "image/jpeg",
  QUALITY = 0.95;

/**
 * Opens the camera in `place`.
 * @param {(image: Blob) => void} taken
 * @param {AbortSignal} signal turns it off
 */
export async function camera(place, taken, signal) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw Object.assign(new Error("The browser does not let this page use the camera."), {
      hint: "It allows it only at localhost or over HTTPS. Drop a picture or choose a file instead.",
    });
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  } catch (error) {
    throw Object.assign(new Error("There is no picture from a camera.", { cause: error }), {
      hint: "Is one connected, and did you allow it?",
    });
  }
  const video = make("video", { autoplay: true, playsinline: true, muted: true, "aria-label": "What the camera sees" });
  const off = () => {
    for (const track of stream.getTracks()) track.stop();
    place.replaceChildren();
  };
  signal.addEventListener("abort", off);
  if (signal.aborted) {
    off();
    return;
  }
  video.srcObject = stream;
  const shoot = button(
    "Take a picture",
    () => {
      const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      canvas.toBlob(
        (image) => {
          if (image) taken(image);
        },
        TYPE,
        QUALITY,
      );
    },
    { class: "main" },
  );
  place.replaceChildren(
    make("div", { class: "camera card" }, video, make("div", { class: "buttons" }, shoot, button("Turn the camera off", off))),
  );
  shoot.focus();
}
