"""The page in a browser, against the server."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import COLOURS, PATIENCE_SECONDS
from playwright.sync_api import Browser, Page, expect, sync_playwright

from apps.studio.conftest import Studio, draw, studio_of
from apps.studio_accessibility import accessibility_defects

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: install the system's package chromium")
expect.set_options(timeout=1000 * PATIENCE_SECONDS)
N = 42


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory, home: Path, tiny_weights: Path) -> Iterator[Studio]:
    """A studio on shapes with wrong labels, and eight images without a label."""
    root = tmp_path_factory.mktemp("page")
    data = draw(root / "shapes", dict.fromkeys(COLOURS, 14), flipped=1)
    for image in sorted((data / "circles").glob("circles-*.png"))[-8:]:
        image.rename(data / image.name)
    with studio_of(data, root / "project", home=home, weights=tiny_weights) as started:
        started.await_model()
        yield started


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium."""
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def page(studio: Studio, browser: Browser) -> Iterator[Page]:
    """A window of the studio; nothing may go wrong in it, and nothing be asked of another server."""
    context = browser.new_context(viewport={"width": 1100, "height": 800}, base_url=studio.url)
    window, wrong = context.new_page(), []
    window.set_default_timeout(1000 * PATIENCE_SECONDS)
    window.on("pageerror", lambda error: wrong.append(str(error)))
    window.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    window.on(
        "request", lambda asked: None if asked.url.startswith((studio.url, "data:", "blob:")) else wrong.append(asked.url)
    )
    yield window
    assert wrong == []
    context.close()


def test_tiles_stay_while_images_are_read(page: Page) -> None:
    """What is seen is not loaded anew because the scan has found more after it."""
    page.goto("/")
    expect(page.locator(".tile.loaded").first).to_be_visible()
    expect(page.locator(".tile:not([hidden]):not(.loaded)")).to_have_count(0)
    with page.expect_response("**/api/orders"):
        page.evaluate("""async () => {
          window.touched = 0;
          const watch = new MutationObserver((changes) => { window.touched += changes.length; });
          const pictures = { subtree: true, attributes: true, attributeFilter: ["src", "hidden"] };
          watch.observe(document.querySelector(".grid"), pictures);
          (await import("/page/store.js")).store.dispatchEvent(new CustomEvent("scan"));
        }""")
    expect(page.locator("section.browse")).not_to_have_attribute("aria-busy", "true")
    assert page.evaluate("new Promise((next) => requestAnimationFrame(() => next(window.touched)))") == 0


def test_browse(page: Page) -> None:
    """The page opens with tiles, and a picture on each that is in view."""
    page.goto("/")
    expect(page.locator(".tile.loaded").first).to_be_visible()
    assert page.locator(".tile img").first.evaluate("image => image.naturalWidth") > 0
    expect(page.get_by_text(f"{N} images").first).to_be_visible()


def test_review_by_key(page: Page, studio: Studio) -> None:
    """One key decides on the image that is shown, and the next is there; u takes it back."""
    before, first = studio.last, studio.queue("label_error", 1)[0]["row"]
    page.goto("/#/review?queue=label_error")
    expect(page.locator(".shot img")).to_be_visible()
    page.keyboard.press("k")
    studio.until(lambda: studio.last == before + 1)
    assert studio.row(first)["decided"]
    assert first not in [item["row"] for item in studio.queue("label_error", 200)]
    page.keyboard.press("u")
    studio.until(lambda: studio.last == before + 2)
    assert not studio.row(first)["decided"]
    expect(page.get_by_text("Taken back.")).to_be_visible()


def test_undo_takes_back_what_was_done_last(page: Page, studio: Studio) -> None:
    """The key of the class that an image has already is a decision as well: undo takes back this one, not one before."""
    page.goto("/#/review?queue=label_error")
    expect(page.locator(".shot img")).to_be_visible()
    before = studio.last
    page.keyboard.press("x")
    studio.until(lambda: studio.last == before + 1)
    excluded = int(studio.column("excluded").argmax())
    page.wait_for_function("row => new RegExp(`row=(?!${row}$)[0-9]`).test(location.hash)", arg=excluded)
    label = int(studio.column("label")[int(page.url.rpartition("row=")[2])])
    page.keyboard.press(str(label + 1))
    studio.until(lambda: studio.last == before + 2)
    page.keyboard.press("u")
    studio.until(lambda: studio.last == before + 3)
    assert studio.column("excluded").sum() == 1
    page.keyboard.press("u")
    studio.until(lambda: studio.last == before + 4)
    assert studio.column("excluded").sum() == 0


def test_a_label_of_a_new_class(page: Page, studio: Studio) -> None:
    """An image without a label gets one of a class that is made on the spot: from then on there are not enough labels."""
    before = studio.last
    page.goto("/#/label")
    expect(page.locator(".shot img")).to_be_visible()
    enough = page.get_by_role("status").filter(has_text="Enough for now: the latest third of the")
    expect(enough).to_be_visible()
    page.keyboard.press("c")
    page.locator("dialog #answer").fill("discs")
    page.keyboard.press("Enter")
    studio.until(lambda: studio.last == before + 1)
    assert studio.get("/api/project")["classes"] == [*sorted(COLOURS), "discs"]
    expect(enough).to_have_count(0)
    (row,) = studio.order(label=[3])
    assert studio.row(row)["given"] == -1


def test_the_map_is_drawn(page: Page) -> None:
    """The map is there, with something on it."""
    page.goto("/#/map")
    canvas = page.locator(".sheet canvas").first
    expect(canvas).to_be_visible()
    page.wait_for_function(
        """() => {
            const canvas = document.querySelector('.sheet canvas');
            const drawn = canvas && canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            return drawn && new Set(new Uint32Array(drawn.buffer)).size > 3;
        }"""
    )


def test_the_other_window_is_told(page: Page, studio: Studio) -> None:
    """What another person decides is shown here without asking."""
    page.goto("/")
    expect(page.locator(".tile.loaded").first).to_be_visible()
    shown = page.locator(".tile .label", has_text="stars")
    expect(shown).to_have_count(0)
    studio.decide([5], "relabel", who="ada", label="stars")
    expect(shown).to_have_count(1)
    studio.post("/api/undo", who="ada")
    expect(shown).to_have_count(0)


def test_the_accuracy_on_what_was_asked_for(page: Page, studio: Studio) -> None:
    """The page of the model says how many labels the studio asked for, what that does to the accuracy, and that of others."""
    for item in studio.queue("next")[:3]:
        studio.decide([item["row"]], "label:next", label="circles")
    n = int((studio.column("label") >= 0).sum())  # one more if another test has labelled one before
    page.goto("/#/model")
    expect(page.get_by_text(f"{n - 34} of the {n} labels are of images that the studio asked for")).to_be_visible()
    expect(page.get_by_text("On the other 34 it is")).to_be_visible()
    page.goto("/#/label")
    expect(page.get_by_text("likely too low, as hard images are asked for")).to_be_visible()


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_for_everybody(page: Page, colours: str) -> None:
    """Each view can be read and used with the keyboard and a screen reader, in light and dark."""
    page.emulate_media(color_scheme="dark" if colours == "dark" else "light")
    for view, there in (
        ("browse", ".tile.loaded"),
        ("review", ".queues a"),
        ("review?queue=label_error", ".shot img"),
        ("label", ".shot img"),
        ("model", "table"),
        ("map", ".sheet canvas"),
        ("train", "button"),
        ("try", "button"),
    ):
        page.goto(f"/#/{view}")
        expect(page.locator(f"#view {there}").first).to_be_visible()
        assert accessibility_defects(page) == [], view
