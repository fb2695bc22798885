"""The page of an export for the browser, as people use it."""

import base64
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from apps.studio_accessibility import accessibility_defects
from conftest import PATIENCE_SECONDS, MakeOnce, SavedRun, draw_shape
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from artifact.conftest import needs_chromium, served
from artifact.odd_web_files import encoded, photo, turned
from headstart.artifact import web_export
from headstart.artifact.predictor import Predictor
from headstart.artifact.web_browser import PAGE
from headstart.artifact.web_export import export_web
from headstart.artifact.web_runtime import NOTICES
from headstart.data.icc import Chromaticities, profile_from
from headstart.data.images import decode
from headstart.data.preprocess import Preprocess, rows_may_be_first
from headstart.storage import write_json

pytestmark = [pytest.mark.slow, needs_chromium]
expect.set_options(timeout=1000 * PATIENCE_SECONDS)
SHAPES = [(100, 80, 50, 40), (80, 300, 224, 60), (17, 500, 64, 64), (500, 17, 64, 64), (46, 92, 43, 20), (31, 214, 14, 5)]
SHAPES += [(101, 99, 101, 50), (60, 60, 61, 59), (1, 1, 32, 32), (2, 3, 48, 48), (640, 427, 96, 64), (300, 200, 300, 200)]


@pytest.fixture(scope="module")
def exported(made_once: MakeOnce, saved_run: SavedRun, npm_package: Path) -> Path:
    """An export for the browser, made without a proof."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(web_export, "find_browser", lambda: None)
            export_web(saved_run.run, folder / "out", runtime=npm_package)

    return made_once("exported page", make) / "out"


@pytest.fixture
def window(chromium: Browser) -> Iterator[Page]:
    """A window in which nothing may go wrong, and nothing be asked of another server."""
    context = chromium.new_context(viewport={"width": 375, "height": 740}, has_touch=True)
    page, wrong = context.new_page(), []
    page.set_default_timeout(1000 * PATIENCE_SECONDS)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("request", lambda asked: None if asked.url.startswith(("http://127.0.0.1", "blob:")) else wrong.append(asked.url))
    yield page
    assert wrong == []
    context.close()


def opened(page: Page, url: str) -> Page:
    """The page when it takes images."""
    page.goto(url)
    expect(page.locator("#choose")).to_be_enabled()
    return page


def give(page: Page, name: str, content: bytes) -> None:
    """Chooses a file."""
    page.set_input_files("#files", [{"name": name, "mimeType": "image/png", "buffer": content}])


def js_pixels(page: Page, script: str, image: Image.Image, values: Any) -> np.ndarray:
    """What a script makes of RGB pixels, as bytes."""
    rgb = base64.b64encode(image.convert("RGB").tobytes()).decode()
    found = page.evaluate(
        f"""async ([width, height, text, values]) => {{
          const rgb = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0)), picture = {{ width, height, rgb }};
          const found = await (async () => {{ {script} }})();
          return btoa(Array.from(found, (byte) => String.fromCharCode(byte)).join(""));
        }}""",
        [image.width, image.height, rgb, values],
    )
    return np.frombuffer(base64.b64decode(found), np.uint8)


@pytest.mark.parametrize("filter", ["bilinear", "bicubic"])
def test_resizing_is_pillows_to_the_bit(modules: Page, filter: str) -> None:
    """Black and white noise, which shows every rounding, made smaller, larger and both."""
    script = """const { resized } = await import("/resample.js");
      return resized(picture, values[0], values[1], values[2], values[3]).rgb;"""
    rng = np.random.default_rng(0)
    for width, height, new_width, new_height in SHAPES:
        noise = Image.fromarray(rng.integers(0, 2, (height, width, 3), dtype=np.uint8) * 255)
        found = js_pixels(modules, script, noise, [new_width, new_height, filter, rows_may_be_first()])
        wanted = noise.resize((new_width, new_height), Image.Resampling[filter.upper()])
        assert found.tobytes() == wanted.tobytes(), (width, height, new_width, new_height)


@pytest.mark.parametrize("size", [(150, 100), (100, 171), (40, 30), (31, 400), (400, 31), (64, 64)])
def test_views_are_pythons_to_the_bit(modules: Page, size: tuple[int, int]) -> None:
    """The square in the middle, the whole picture, the padded one, their mirror images; also where a cut is beyond the edge."""
    script = 'const { views } = await import("/views.js"); return views(picture, values);'
    image = photo(*size)
    for resize_px, interpolation in ((72, "bicubic"), (64, "bilinear"), (50, "bicubic")):
        preprocess = Preprocess(
            size_px=64,
            resize_px=resize_px,
            interpolation=interpolation,
            mean=(0.485, 0.456, 0.406),
            std=(0.5, 0.5, 0.5),
            cuts=("crop", "whole", "pad"),
            mirrored=True,
        )
        found = js_pixels(modules, script, image, web_export._preprocess(preprocess))
        assert found.tobytes() == preprocess.views(image).tobytes(), (resize_px, interpolation)


def decoded_here(page: Page, data: bytes, shorter_side_px: int = 0) -> np.ndarray:
    """(height, width, 3) uint8: what the page makes of a file."""
    found = page.evaluate(
        """async ([text, side]) => {
          const { decoded } = await import("/pixels.js");
          const file = new Blob([Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0))]);
          const { width, height, rgb } = await decoded(file, side);
          return [height, width, btoa(Array.from(rgb, (byte) => String.fromCharCode(byte)).join(""))];
        }""",
        [base64.b64encode(data).decode(), shorter_side_px],
    )
    return np.frombuffer(base64.b64decode(found[2]), np.uint8).reshape(found[0], found[1], 3)


@pytest.mark.parametrize("gamma", [1.0, 1.8, 2.199, 2.6])
@pytest.mark.parametrize("is_grey", [False, True])
def test_colours_are_pythons_to_the_bit(modules: Page, gamma: float, is_grey: bool) -> None:
    """Whatever the profile, by curves and a matrix or grey, the page has the very pixels that Python has."""
    wide = Chromaticities((0.3127, 0.3290), (0.64, 0.33), (0.21, 0.71), (0.15, 0.06))
    image = photo(120, 90).convert("L" if is_grey else "RGB")
    data = encoded(image, "PNG", icc_profile=profile_from(1 / gamma, wide, is_grey=is_grey))
    moved = np.abs(decoded_here(modules, data).astype(int) - np.asarray(decode(data).rgb))
    assert moved.max() <= is_grey and moved.mean() < 0.02  # greys of lcms are interpolated: one level of 256 may differ


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("is_progressive", [False, True])
def test_large_jpegs_are_pythons_to_the_bit(modules: Page, factor: int, is_progressive: bool) -> None:
    """Decoded at a half, a quarter or an eighth of the size, with chroma of every kind, grey, in RGB, and with restarts."""
    image, options = photo(403, 331), {"progressive": is_progressive, "quality": 90}
    files = {f"chroma {kind}": encoded(image, "JPEG", subsampling=kind, **options) for kind in (0, 1, 2)}
    if not is_progressive:
        files["chroma coarse downwards"] = upright_chroma(files["chroma 1"])
    files["grey"] = encoded(image.convert("L"), "JPEG", **options)
    files["RGB"] = encoded(image, "JPEG", keep_rgb=True)
    files["restarts"] = encoded(image, "JPEG", restart_marker_blocks=3, **options)
    files["turned"] = encoded(image, "JPEG", exif=turned(6), **options)
    for name, data in files.items():
        shorter = min(Image.open(io.BytesIO(data)).size)
        wanted = decode(data, shorter_side_px=shorter // factor).rgb
        assert min(wanted.size) == -(-shorter // factor)
        assert decoded_here(modules, data, shorter // factor).tobytes() == wanted.tobytes(), name


def upright_chroma(jpeg: bytes) -> bytes:
    """A JPEG with chroma at half the resolution across, made one with half the resolution down: a picture of as many blocks."""
    at = next(place for marker in (b"\xff\xc0", b"\xff\xc2") if (place := jpeg.find(marker)) > 0)
    frame = bytearray(jpeg)
    assert frame[at + 11] == 0x21
    frame[at + 11] = 0x12
    # As many units of 8 x 16 as there were of 16 x 8: those of the other picture are as many across and down.
    frame[at + 5 : at + 9] = (42 * 16).to_bytes(2, "big") + (26 * 8).to_bytes(2, "big")
    return bytes(frame)


@pytest.mark.parametrize("is_progressive", [False, True])
def test_a_damaged_large_jpeg_is_a_reason(modules: Page, is_progressive: bool) -> None:
    """Whatever bytes are changed, there are pixels or a reason, and no other error."""
    whole, rng = encoded(photo(200, 160), "JPEG", progressive=is_progressive), np.random.default_rng(0)
    for _ in range(30):
        data = bytearray(whole)
        for place in rng.integers(2, len(data) - 2, 5):
            data[place] = rng.integers(0, 256)
        said = modules.evaluate(
            """async (text) => {
              const [{ decoded }, { Refusal }] = await Promise.all([import("/pixels.js"), import("/refusal.js")]);
              const file = new Blob([Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0))]);
              return decoded(file, 40).then(() => "pixels", (error) => error instanceof Refusal ? "reason" : String(error));
            }""",
            base64.b64encode(bytes(data)).decode(),
        )
        assert said in ("pixels", "reason")


def test_an_answer_and_its_doubts(window: Page, exported: Path, saved_run: SavedRun) -> None:
    """The class on top with its share, as predict says it; an image unlike all others is told so; a refusal has its reason."""
    file = Path(next(iter(saved_run.labels)))
    own = next(Predictor.load(saved_run.run).predict([str(file)]))
    with served(exported) as url:
        opened(window, url)
        give(window, file.name, file.read_bytes())
        card = window.locator(".answer").first
        expect(card.get_by_role("heading")).to_have_text(own.best)
        expect(card.locator(".share").first).to_have_text(f"{own.probability * 100:.1f} %")
        give(window, "noise.png", encoded(Image.effect_noise((64, 64), 200).convert("RGB"), "PNG"))
        expect(window.locator(".answer").first).to_contain_text("Unlike the training images")
        give(window, "scan.tif", encoded(photo(40, 40), "TIFF"))
        expect(window.locator(".answer").first).to_contain_text("a TIFF")
        expect(window.get_by_role("status")).to_contain_text("scan.tif is not answered")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_it(window: Page, exported: Path, scheme: Any) -> None:
    """On a phone's width: contrast, names, targets, and every control by keyboard."""
    window.emulate_media(color_scheme=scheme)
    with served(exported) as url:
        opened(window, url)
        give(window, "noise.png", encoded(Image.effect_noise((64, 64), 200).convert("RGB"), "PNG"))
        expect(window.locator(".answer")).to_have_count(1)
        window.locator("summary").click()
        assert accessibility_defects(window) == []


def test_dropped_pasted_and_photographed(window: Page, exported: Path) -> None:
    """Each way of giving an image leads to an answer."""
    give_by = """([kind, bytes]) => {
      const data = new DataTransfer();
      data.items.add(new File([Uint8Array.from(bytes)], `${kind}.png`, { type: "image/png" }));
      const event = kind === "paste" ? new ClipboardEvent(kind, { clipboardData: data, bubbles: true })
        : new DragEvent(kind, { dataTransfer: data, bubbles: true });
      document.getElementById("drop").dispatchEvent(event);
    }"""
    content = list(encoded(draw_shape("circles", np.random.default_rng(0)), "PNG"))
    with served(exported) as url:
        opened(window, url)
        for count, kind in enumerate(("drop", "paste"), start=1):
            window.evaluate(give_by, [kind, content])
            expect(window.locator(".answer .bars")).to_have_count(count)
        window.get_by_role("button", name="Camera").press("Enter")
        expect(window.get_by_role("button", name="Use this picture")).to_be_focused()
        window.get_by_role("button", name="Use this picture").press("Enter")
        expect(window.locator(".answer .bars")).to_have_count(3)
        window.get_by_role("button", name="Close the camera").press("Enter")
        expect(window.locator("#video")).to_be_hidden()


def test_files_are_kept_when_nobody_waits_for_an_answer(window: Page, exported: Path) -> None:
    """Images that are given as soon as the page takes them are all answered before it begins to keep its files."""
    window.add_init_script(
        """
        const register = navigator.serviceWorker.register.bind(navigator.serviceWorker);
        navigator.serviceWorker.register = (...given) => {
          window.answeredBefore = document.querySelectorAll(".answer .bars").length;
          return register(...given);
        };
        new MutationObserver(() => {
          const button = document.getElementById("choose");
          if (!button || button.disabled || window.given) return;
          window.given = true;
          const data = new DataTransfer(), canvas = document.createElement("canvas");
          const bytes = Uint8Array.from(atob(canvas.toDataURL("image/png").split(",")[1]), (sign) => sign.charCodeAt(0));
          for (const name of ["1.png", "2.png", "3.png"]) data.items.add(new File([bytes], name, { type: "image/png" }));
          document.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true }));
        }).observe(document, { subtree: true, attributes: true, childList: true });
        """
    )
    with served(exported) as url:
        opened(window, url)
        expect(window.locator("html")).to_have_attribute("data-offline", "ready")
    assert window.evaluate("window.answeredBefore") == 3


def test_it_works_without_a_network(window: Page, exported: Path) -> None:
    """After the first load the server may end: the page opens again and answers."""
    with served(exported) as url:
        opened(window, url)
        expect(window.locator("html")).to_have_attribute("data-offline", "ready")
    opened(window, url)
    give(window, "shape.png", encoded(draw_shape("circles", np.random.default_rng(0)), "PNG"))
    expect(window.locator(".answer .bars")).to_have_count(1)


def test_a_newer_export_is_offered(window: Page, exported: Path, tmp_path: Path) -> None:
    """A page that was kept stays whole until its reader asks for the new one; then all files are the new ones."""
    place, name = shutil.copytree(exported, tmp_path / "page"), "The second one"
    with served(place) as url:
        opened(window, url)
        expect(window.locator("html")).to_have_attribute("data-offline", "ready")
        about = place / "model.json"
        write_json(about, json.loads(about.read_text(encoding="utf-8")) | {"name": name})
        shutil.copyfile(PAGE / "sw.js", place / "sw.js")
        web_export._write_worker(place, without=set(NOTICES.values()))
        opened(window, url)
        expect(window.get_by_role("heading", level=1)).not_to_have_text(name)
        window.get_by_role("button", name="A newer version").click()
        expect(window.get_by_role("heading", level=1)).to_have_text(name)
