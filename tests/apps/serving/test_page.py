"""The page at `/`, driven in a real browser: images in, answers with bars out."""

import base64
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from conftest import PATIENCE_SECONDS, TINY, SavedRun
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

import headstart
from apps.serving.conftest import Running
from headstart.settings import TrainSettings

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PHONE = {"width": 360, "height": 740}
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: install the system's package chromium")
# What drops files on the page as a person does with a mouse.
DROP = """(files) => {
    const transfer = new DataTransfer();
    for (const [name, content] of files) {
        const bytes = Uint8Array.from(atob(content), (sign) => sign.charCodeAt(0));
        transfer.items.add(new File([bytes], name, { type: "image/png" }));
    }
    for (const kind of ["dragenter", "dragover", "drop"])
        document.getElementById("drop").dispatchEvent(new DragEvent(kind, { dataTransfer: transfer, bubbles: true }));
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with sync_playwright() as playwright:
        expect.set_options(timeout=1000 * PATIENCE_SECONDS)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page on a phone's screen; an error of a script fails the test."""
    page, errors = browser.new_page(viewport=PHONE), []  # type: ignore[var-annotated]
    page.set_default_timeout(1000 * PATIENCE_SECONDS)
    page.on("pageerror", lambda error: errors.append(error))
    yield page
    page.close()
    assert errors == []


def test_two_dropped_images_get_two_answers(page: Page, server: Running, saved_run: SavedRun) -> None:
    """Each has its class, its probability and a bar a class, as the server answers; nothing is wider than a phone."""
    paths = [Path(path) for path in list(saved_run.labels)[:2]]
    page.goto(server.url)
    expect(page.locator("#about")).to_contain_text("circles, squares, triangles")
    page.evaluate(DROP, [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths])
    expect(page.get_by_role("listitem")).to_have_count(2)
    expect(page.get_by_role("status")).to_have_text("2 of 2 answered")
    for path in paths:
        item = page.get_by_role("listitem").filter(has_text=path.name)
        prediction = server.predict(path.read_bytes()).json()["predictions"][0]
        expect(item.get_by_role("heading")).to_have_text(f"{prediction['predicted']} {100 * prediction['probability']:.1f} %")
        expect(item.locator(".class")).to_have_count(3)
        widths = item.locator(".track div").evaluate_all("(bars) => bars.map((bar) => bar.getBoundingClientRect().width)")
        assert widths == sorted(widths, reverse=True) and widths[0] > 0
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_the_keyboard_suffices(page: Page, server: Running, saved_run: SavedRun) -> None:
    """Tab reaches the button, Enter opens the choice of files; what is no image has its reason shown."""
    page.goto(server.url)
    expect(page.locator("#about")).to_contain_text("classes apart")
    page.keyboard.press("Tab")
    files = [next(iter(saved_run.labels)), str(saved_run.data / "train" / "circles" / "notes.jpg")]
    page.on("filechooser", lambda chooser: chooser.set_files(files))
    expect(page.locator("#files")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("2 of 2 answered")
    expect(page.get_by_role("listitem").filter(has_text="notes.jpg")).to_contain_text("a text file, not an image")


def test_a_token_is_asked_for(page: Page, serve: Callable[..., Running], saved_run: SavedRun) -> None:
    """The page tells that a token is needed, takes it, and goes on."""
    server = serve(saved_run.run, token="s3cret")
    page.goto(server.url)
    expect(page.locator("#about")).to_have_text("This server asks for a token.")
    page.get_by_label("Token").fill("s3cret")
    page.keyboard.press("Enter")
    expect(page.locator("#about")).to_contain_text("circles")
    page.set_input_files("#files", next(iter(saved_run.labels)))
    expect(page.get_by_role("status")).to_have_text("1 of 1 answered")


def test_one_of_several_models(page: Page, serve: Callable[..., Running], saved_run: SavedRun, own_run: Path) -> None:
    """Where several are served, one is chosen."""
    server = serve(f"one={saved_run.run}", f"two={own_run}")
    page.goto(server.url)
    page.get_by_label("Model").select_option("two")
    with page.expect_request("**/models/two/predict"):
        page.set_input_files("#files", next(iter(saved_run.labels)))
    expect(page.get_by_role("status")).to_have_text("1 of 1 answered")


def test_the_docs_need_no_other_host(page: Page, server: Running) -> None:
    """/docs lists the endpoints, and every file of the page comes from the server itself."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{server.url}/docs")
    expect(page.locator(".opblock-summary-path").first).to_be_visible()
    expect(page.locator("#swagger-ui")).to_contain_text("Classify images with the only model")
    assert asked and all(url.startswith((server.url, "data:")) for url in asked)


def test_a_number_with_its_interval(
    page: Page, serve: Callable[..., Running], tiny_weights: Path, tmp_path: Path, own_home: Path
) -> None:
    """A model of numbers has no bars: the number is the heading, and the ends of its interval stand below."""
    rng = np.random.default_rng(0)
    grey = rng.integers(40, 215, 40)
    for i, value in enumerate(grey):
        Image.fromarray(np.clip(value + rng.normal(0, 20, (56, 56, 3)), 0, 255).astype(np.uint8)).save(tmp_path / f"{i}.png")
    rows = "".join(f"{i}.png,{value / 7}\n" for i, value in enumerate(grey))
    (tmp_path / "set.csv").write_text("path,label\n" + rows, encoding="utf-8")
    settings = TrainSettings.of(
        task="regression", strategy="probe", backbone=TINY, weights=tiny_weights, view="crop", device="cpu"
    )
    server = serve(headstart.train(tmp_path / "set.csv", settings, output=tmp_path / "run").run)
    page.goto(server.url)
    expect(page.locator("#about")).to_have_text("Answers with a number: label")
    content = (tmp_path / "0.png").read_bytes()
    page.evaluate(DROP, [["0.png", base64.b64encode(content).decode()]])
    expect(page.get_by_role("status")).to_have_text("1 of 1 answered")
    answer = server.predict(content).json()["predictions"][0]
    low, number, high = (f"{answer[name]:.4g}" for name in ("low", "predicted", "high"))
    item = page.get_by_role("listitem")
    expect(item.get_by_role("heading")).to_have_text(number)
    expect(item).to_contain_text(f"Between {low} and {high}")
    expect(item.locator(".class")).to_have_count(0)
