"""The report as a person uses it: in headless Chromium, from a file, with pointer and keyboard."""

import base64
import io
import json
import pathlib
import shutil
import time

import numpy as np
import pytest
from PIL import Image

from msbreg_tf.commands import report
from tests.report.fakes import HOSTILE, fake_pictures, fake_run

selenium = pytest.importorskip("selenium", reason="pip install selenium")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="no chromium: apt-get install chromium chromium-driver"
)
_PATIENCE = 45  # seconds; a page is there in two where nothing else runs


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """{name: path} of a report of one run with hostile names, and of one of twelve."""
    root = tmp_path_factory.mktemp("pages")
    names = [name.replace("/", "∕") for name in HOSTILE]
    pictures = fake_pictures(root / "pictures", names)
    one = fake_run(root / "one", pictures=pictures, resumed=(21, 41), gaps=range(30, 36))
    twelve = [
        fake_run(root / f"<b>run{n:02}", pictures=pictures, exported=False, seed=n, knn=n % 2 == 0)
        for n in range(12)
    ]
    written = {}
    for name, runs in (("one", [one]), ("twelve", twelve)):
        written[name] = str(root / f"{name}.html")
        own = report.ReportSettings(images=100)
        report.write_report(own, list(map(str, runs)), written[name])
    return written


@pytest.fixture(scope="module")
def chrome():
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(executable_path=DRIVER)
    browser = webdriver.Chrome(options=options, service=service)
    browser.set_script_timeout(_PATIENCE)
    yield browser
    browser.quit()


class Page:
    """An opened report."""

    def __init__(self, chrome, path: str, width: int = 1600, theme: str = "light"):
        self.chrome = chrome
        size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
        self.command("Emulation.setDeviceMetricsOverride", **size)
        scheme = [{"name": "prefers-color-scheme", "value": theme}]
        self.command("Emulation.setEmulatedMedia", features=scheme)
        chrome.get_log("browser")
        chrome.get_log("performance")
        chrome.get(pathlib.Path(path).as_uri())
        self.wait("return document.documentElement.dataset.ready === 'yes'")

    def command(self, name, **arguments):
        return self.chrome.execute_cdp_cmd(name, arguments)

    def js(self, code, *arguments):
        return self.chrome.execute_script(code, *arguments)

    def wait(self, code):
        end = time.monotonic() + _PATIENCE
        while not self.js(code):
            assert time.monotonic() < end, code
            time.sleep(0.05)

    def requests(self):
        """Addresses that the page asked for."""
        entries = [json.loads(entry["message"]) for entry in self.chrome.get_log("performance")]
        sent = [e["message"] for e in entries if e["message"]["method"].endswith("WillBeSent")]
        return [each["params"]["request"]["url"] for each in sent]

    def pixels(self, selector):
        """What is seen of an element: uint8 [H, W, 3]."""
        box = self.js(
            "const b = document.querySelector(arguments[0]).getBoundingClientRect();"
            "return [b.x + scrollX, b.y + scrollY, b.width, b.height]",
            selector,
        )
        clip = dict(zip(("x", "y", "width", "height"), box), scale=1)
        shot = self.command("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB"))

    def mouse(self, kind, x, y, **more):
        self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def key(self, name, code):
        for kind in ("keyDown", "keyUp"):
            self.command("Input.dispatchKeyEvent", type=kind, key=name, windowsVirtualKeyCode=code)


def drawn_colours(pixels) -> int:
    """How many colours there are that are no shade of grey."""
    spread = pixels.max(axis=-1).astype(int) - pixels.min(axis=-1)
    return len(np.unique(pixels[spread > 60].reshape(-1, 3), axis=0))


@pytest.mark.parametrize(
    ("name", "width", "theme"),
    [("one", 1600, "light"), ("one", 360, "dark"), ("twelve", 360, "light")],
)
def test_it_opens_from_a_file_and_every_chart_is_drawn(chrome, pages, name, width, theme):
    page = Page(chrome, pages[name], width, theme)
    assert {address.partition(":")[0] for address in page.requests()} <= {"file", "data"}
    assert [entry for entry in chrome.get_log("browser") if entry["level"] != "INFO"] == []
    keys = page.js("return [...document.querySelectorAll('.chart')].map((chart) => chart.id)")
    assert len(keys) >= 6
    for key in keys:
        assert drawn_colours(page.pixels(f"#{key}")) >= 1, key
    # Nothing sticks out, so that nobody has to scroll sideways.
    assert page.js("return document.documentElement.scrollWidth") == width
    dark = page.pixels("h1").mean() < 128
    assert dark == (theme == "dark")


def test_names_are_only_ever_text(chrome, pages):
    page = Page(chrome, pages["one"])
    assert page.js(
        "return window.hacked === undefined && document.querySelector('img[src=x]') === null"
    )
    groups = page.js(
        "return [...document.querySelectorAll('#map-group option')].map((o) => o.text)"
    )
    assert groups[1:] == sorted(name.replace("/", "∕") for name in HOSTILE)
    legend = page.js("return document.querySelector('#map-chart .legend').textContent")
    assert "<script>win" in legend
    page = Page(chrome, pages["twelve"])
    assert page.js("return document.querySelector('fieldset.legend b') === null")
    assert "<b>run00" in page.js("return document.querySelector('fieldset.legend').textContent")


def test_hover_shows_a_thumbnail_click_its_neighbours_and_a_lasso_images(chrome, pages):
    page = Page(chrome, pages["one"])
    left, top, width, height = page.js(
        "const there = {block: 'center', behavior: 'instant'};"
        "document.querySelector('#map-chart').scrollIntoView(there);"
        "const b = document.querySelector('#map-chart .nsewdrag').getBoundingClientRect();"
        "return [b.x, b.y, b.width, b.height]"
    )
    right, bottom = left + width - 4, top + height - 4
    left, top = left + 4, top + 4
    corners = [(left, top), (right, top), (right, bottom), (left, bottom), (left, top + 6)]
    page.mouse("mouseMoved", *corners[0])
    page.mouse("mousePressed", *corners[0], button="left", buttons=1, clickCount=1)
    for corner in corners[1:]:
        page.mouse("mouseMoved", *corner, button="left", buttons=1)
    page.mouse("mouseReleased", *corners[-1], button="left", clickCount=1)
    page.wait("return !document.querySelector('#selection').hidden")
    assert page.js("return document.querySelectorAll('#selection-tiles .tile').length") == 49
    assert (
        page.js("return document.querySelector('#selection-title').textContent")
        == "49 images in the lasso"
    )
    # A picture of more than is in view resizes the page for a moment, which ends a drag.
    x, y = page.js(
        "const b = document.querySelector('#map-chart .point').getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2]"
    )
    page.mouse("mouseMoved", x - 3, y)
    page.mouse("mouseMoved", x, y)
    page.wait("return !document.querySelector('#peek').hidden")
    assert page.js("return document.querySelector('#peek p').textContent") != ""
    assert page.pixels("#peek .tile").std() > 5
    page.js("document.querySelector('#selection-tiles .tile').click()")
    assert page.js("return document.querySelector('#one').open")
    assert page.js("return document.querySelectorAll('#one-near .tile').length") == 8
    page.js("document.querySelector('#one-near .tile').click()")
    page.key("Escape", 27)
    page.wait("return !document.querySelector('#one').open")


def test_the_keyboard_reaches_every_control(chrome, pages):
    page = Page(chrome, pages["one"])
    wanted = page.js(
        "window.reached = new Set();"
        "document.addEventListener('focusin', (event) => window.reached.add(event.target));"
        # Of radio buttons with one name, Tab reaches the one that is chosen, and arrows the others.
        "const all = [...document.querySelectorAll('button, select, summary, a[href], input')];"
        "const other = (e) => (e.type === 'radio' && !e.checked) || e.closest('dialog');"
        "window.wanted = all.filter((e) => e.checkVisibility() && !other(e));"
        "return window.wanted.length"
    )
    for _ in range(3 * wanted):
        page.key("Tab", 9)
        if page.js("return window.wanted.every((e) => window.reached.has(e))"):
            break
    missed = page.js(
        "return window.wanted.filter((e) => !window.reached.has(e)).map((e) => e.outerHTML)"
    )
    assert missed == []
    page.js("document.querySelector('.view').focus()")
    assert not page.js("return document.querySelector('.box').hidden")
    assert "crop of" in page.js("return document.querySelector('.view-words').textContent")
    page.js("document.querySelector('.sheet .tile').focus()")
    page.key("Enter", 13)
    page.key(" ", 32)
    page.wait("return document.querySelector('#one').open")


def test_controls_change_the_charts(chrome, pages):
    page = Page(chrome, pages["twelve"])
    before = page.pixels("#curves .chart")
    page.js("document.querySelector('input[name=smoothing][value=smooth]').click()")
    for _ in range(11):
        page.js(
            "[...document.querySelectorAll('input[name=run]')].find((box) => box.checked).click()"
        )
    assert drawn_colours(page.pixels("#curves .chart")) < drawn_colours(before)
    page.js("document.querySelector('#theme').click()")
    assert page.pixels("h1").mean() < 128
    page = Page(chrome, pages["one"])
    places = (
        "const points = [...document.querySelectorAll('#map-chart .point')];"
        "return points.map((point) => point.getAttribute('transform')).join()"
    )
    before = page.js(places)
    page.js("document.querySelector('input[name=projection][value=PCA]').click()")
    assert page.js(places) != before
    page.js(
        "const group = document.querySelector('#map-group'); group.value = '1';"
        "group.dispatchEvent(new Event('change'))"
    )
    assert page.js("return document.querySelectorAll('#selection-tiles .tile').length") in (8, 9)
