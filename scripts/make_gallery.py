"""Draws docs/report.webp, README's picture of a report: what it says, views, neighbours, spectrum.

    python -m tools.report --runs=runs/quickstart
    python -m scripts.make_gallery runs/quickstart/report.html docs/report.webp

It opens the report in headless Chromium (apt-get install chromium chromium-driver; pip install
selenium), leaves a few parts of the page and takes a picture of them, below 400 kB.
"""

import base64
import io
import os
import pathlib
import shutil
import sys
import time

from PIL import Image
from selenium import webdriver

WIDTH, LARGEST = 1240, 400_000  # pixels, bytes
_LEAVE_PARTS = """
const keep = (selector, count) => [...document.querySelectorAll(selector)].slice(0, count);
const parts = [...keep("h1, .lead, .findings", 3), ...keep(".charts.two", 1),
               ...keep(".view-row", 2), ...keep(".sheet-row", 4)];
const main = document.createElement("main");
main.className = "wide";
const pairs = document.createElement("div");
pairs.className = "sheet";
for (const part of parts) (part.matches(".view-row, .sheet-row") ? pairs : main).append(part);
main.append(pairs);
main.style.padding = "1.2rem 1.6rem";
main.querySelector(".view")?.focus();
document.body.replaceChildren(main);
for (const gone of document.querySelectorAll("details")) gone.remove();
document.querySelector(".charts.two").style.margin = "0 0 1rem";
window.dispatchEvent(new Event("resize"));
return document.documentElement.scrollHeight;
"""


def main(report: str, output: str) -> None:
    """Writes the picture.

    Args:
      report: the HTML file.
      output: the WebP file.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
    for argument in ("--headless=new", "--no-sandbox", "--hide-scrollbars"):
        options.add_argument(argument)
    service = webdriver.ChromeService(executable_path=shutil.which("chromedriver"))
    browser = webdriver.Chrome(options=options, service=service)
    try:
        size = {"width": WIDTH, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.get(pathlib.Path(report).resolve().as_uri())
        end = time.monotonic() + 60
        while browser.execute_script("return document.documentElement.dataset.ready") != "yes":
            if time.monotonic() > end:
                sys.exit(f"error: {report}: its charts are not drawn after 60 seconds.")
            time.sleep(0.1)
        height = browser.execute_script(_LEAVE_PARTS)
        time.sleep(1)  # charts follow a resize a moment later
        clip = {"x": 0, "y": 0, "width": WIDTH, "height": height, "scale": 1}
        shot = browser.execute_cdp_cmd(
            "Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True}
        )
    finally:
        browser.quit()
    picture = Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB")
    picture.save(output, "WEBP", quality=85, method=6)
    if os.path.getsize(output) > LARGEST:
        sys.exit(f"error: {output} has {os.path.getsize(output):,} bytes, more than {LARGEST:,}.")


if __name__ == "__main__":
    main(*sys.argv[1:])
