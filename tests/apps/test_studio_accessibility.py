"""The check of accessibility finds what it is there to find."""

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright

from apps.studio_accessibility import accessibility_defects

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: install the system's package chromium")
SOUND = """<!doctype html><html lang="en"><title>Sound</title><style>:focus { outline: 3px solid blue }
button, input { min-width: 24px; min-height: 24px }</style>
<main><h1>Sound</h1><p>Text</p><img alt="" src="data:,"><label>Name <input></label><button>Do it</button></main>"""


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    """A page in headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser.new_page(viewport={"width": 800, "height": 600})
        browser.close()


def test_a_sound_page_has_no_defect(page: Page) -> None:
    """Nothing is found where nothing is wrong."""
    page.set_content(SOUND)
    assert accessibility_defects(page) == []


@pytest.mark.parametrize(
    ("right", "wrong", "told"),
    [
        ("<p>Text", "<p style='color: #888'>Text", "contrast 3.54"),
        ("<p>Text", "<div style='background: #222'><p style='color: #222'>Text</div>", "contrast 1.00"),
        ("<p>Text", "<p style='color: rgb(0 0 0 / 40%)'>Text", "contrast"),
        ("<input>", "<input placeholder='A hint'><style>::placeholder { color: #aaa }</style>", "contrast"),
        ("Do it", "", "has no name"),
        ("Do it", "<img alt='' src='data:,'>", "has no name"),
        ("<label>Name <input></label>", "<input>", "has no name"),
        ('alt=""', "", "has no alt"),
        ("<button>", "<button style='min-height: 0; height: 15px'>", "too small to hit"),
        ("<button>", "<button tabindex='-1'>Not this</button><div tabindex='0' aria-label='x'></div><button disabled>", None),
        (":focus { outline: 3px solid blue }", ":focus { outline: none }", "does not show that it has the focus"),
        (
            "<button>",
            "<button onfocus='this.blur(); document.querySelector(\"input\").focus()'>A</button><button>",
            "Tab does not reach",
        ),
        ("<p>Text", "<p style='width: 2000px'>Text", "2008 px wide"),
        ("<p>Text", "<h3>Text</h3>", "leaves out a level"),
        ("<p>Text", "<p aria-labelledby='nothing'>Text", "not there"),
        ("<p>Text", "<p id='a'>Text<p id='a'>", "is there twice"),
        (' lang="en"', "", "does not name its language"),
    ],
)
def test_each_defect_is_found(page: Page, right: str, wrong: str, told: str | None) -> None:
    """One thing made wrong is told, in words that name it; what is no defect is not."""
    assert right in SOUND
    page.set_content(SOUND.replace(right, wrong))
    defects = accessibility_defects(page)
    assert any(told in defect for defect in defects) if told else defects == [], defects
