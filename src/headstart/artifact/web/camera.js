/** The camera: a picture of what it sees, as a file. */

const at = (id) => document.getElementById(id);

/** Opens the camera; `take` gets each picture, as a PNG file. */
export async function openCamera(take) {
  const wanted = { video: { facingMode: "environment", width: { ideal: 1280 }, height: { ideal: 960 } }, audio: false };
  const stream = await navigator.mediaDevices.getUserMedia(wanted), video = at("video");
  const close = () => {
    stream.getTracks().forEach((track) => track.stop());
    video.srcObject = null;
    at("viewfinder").hidden = true;
    at("camera").disabled = false;
    at("camera").focus();
  };
  video.srcObject = stream;
  at("viewfinder").hidden = false;
  at("camera").disabled = true;
  at("stop").onclick = close;
  at("shoot").onclick = async () => take(await pictureOf(video));
  await video.play();
  at("shoot").focus();
}

async function pictureOf(video) {
  const canvas = new OffscreenCanvas(video.videoWidth, video.videoHeight);
  canvas.getContext("2d").drawImage(video, 0, 0);
  const time = new Date().toLocaleTimeString();
  return new File([await canvas.convertToBlob({ type: "image/png" })], `camera, ${time}`, { type: "image/png" });
}
