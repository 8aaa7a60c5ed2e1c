"""Open every page of the built book in Chromium and look for faults.

    make book check-pages
    python tests/book/check_pages.py --site _build/html --screenshots shots

Every page is opened from the disk, wide and on a phone, light and dark, with every
other host out of reach, and where it is wide with scroll bars that take room. Sphinx
cannot see what this sees: bad TeX, a picture without words, a table wider than a phone.
Links, notebooks and the search are checked once.
"""

from __future__ import annotations

import argparse
import base64
import json
import re
import shutil
import sys
import time
from collections import defaultdict
from pathlib import Path

from drawings import drawing_faults
from links import html_pages, link_faults, notebook_faults
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

ROOT = Path(__file__).resolve().parents[2]
FAULTS_IN_PAGE = Path(__file__).with_name("page_faults.js").read_text(encoding="utf-8")
WIDTHS = {"wide": (1280, 900), "phone": (390, 844)}
THEMES = ("light", "dark")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--host-resolver-rules=MAP * ~NOTFOUND",
)
# question -> (the page of the first answer, a word of what it shows)
QUESTIONS = {
    "GQA": ("book/attention.html", "queries"),
    "softmax": ("book/linear-maps-and-probabilities.html", "softmax"),
    "InfoNCE": ("book/contrastive-clip.html", "InfoNCE"),
}
ANSWERS = """
const done = arguments[arguments.length - 1];
const waited = setInterval(() => {
  if (!document.querySelector("ul.search li")) return;
  clearInterval(waited);
  done([...document.querySelectorAll("ul.search li")].map((line) => [
    line.querySelector("a").getAttribute("href"),
    line.querySelector("p")?.textContent ?? "",
  ]));
}, 50);
"""
LOCAL = ("file:", "data:", "blob:", "about:", "chrome:", "devtools:")


class NoBrowserError(Exception):
    """Chromium or its driver is missing."""


def open_browser() -> webdriver.Chrome:
    names = ("chromium", "chromium-browser", "google-chrome")
    browser = next(filter(None, map(shutil.which, names)), None)
    driver = shutil.which("chromedriver")
    if not browser or not driver:
        raise NoBrowserError(
            "the page check needs Chromium and its driver; on Debian and Ubuntu: "
            "sudo apt-get install chromium chromium-driver"
        )
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability(
        "goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"}
    )
    chrome = webdriver.Chrome(options=options, service=Service(driver))
    chrome.set_script_timeout(60)
    return chrome


def set_view(chrome: webdriver.Chrome, width: str, theme: str) -> None:
    pixels, height = WIDTHS[width]
    chrome.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {
            "width": pixels,
            "height": height,
            "deviceScaleFactor": 1,
            "mobile": width == "phone",
        },
    )
    chrome.execute_cdp_cmd("Emulation.resetPageScaleFactor", {})
    chrome.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": theme}]},
    )


def requested_elsewhere(chrome: webdriver.Chrome) -> list[str]:
    """Addresses on other hosts that the page asked for."""
    faults = []
    for entry in chrome.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            address = message["params"]["request"]["url"]
            if not address.startswith(LOCAL):
                faults.append(f"asks another host: {address[:90]}")
    return faults


def console_faults(chrome: webdriver.Chrome) -> list[str]:
    return [
        f"console {entry['level'].lower()}: {entry['message'][-160:]}"
        for entry in chrome.get_log("browser")
        if entry["level"] in ("SEVERE", "WARNING")
    ]


def figure_faults(page: Path, figures: list[dict], theme: str) -> list[str]:
    """What is wrong with the figures that a page shows, each by its first words."""
    faults = []
    for figure in figures:
        svg = (page.parent / figure["file"]).read_text(encoding="utf-8")
        for fault in drawing_faults(svg, figure["width"], theme):
            faults.append(f'the figure "{figure["alt"][:50]}" {fault}')
    return faults


def look_at(
    chrome: webdriver.Chrome, page: Path, width: str, theme: str
) -> dict[str, None]:
    """The faults of one view of one page, each once, in order."""
    set_view(chrome, width, theme)
    chrome.get(page.as_uri())
    seen = chrome.execute_async_script(FAULTS_IN_PAGE, WIDTHS[width][0])
    faults = seen["said"] + figure_faults(page, seen["figures"], theme)
    shown = chrome.execute_script("return document.documentElement.dataset.theme")
    if shown not in (theme, None):
        faults.append(f"is {shown} where the reader asks for {theme}")
    faults += console_faults(chrome) + requested_elsewhere(chrome)
    return dict.fromkeys(faults)


def search_faults(chrome: webdriver.Chrome, site: Path) -> list[str]:
    """Questions whose chapter is not the first answer, or whose answers are raw."""
    faults = []
    for question, (chapter, word) in QUESTIONS.items():
        if not (site / chapter).is_file():
            continue
        chrome.get(f"{(site / 'search.html').as_uri()}?q={question}")
        answers = chrome.execute_async_script(ANSWERS)
        address, said = answers[0]
        if not address.startswith(chapter):
            faults.append(f"the first answer to {question} is {address}")
        if word not in said:
            faults.append(f"the first answer to {question} lacks {word}: {said[:60]}")
        faults += [
            f"an answer to {question} is raw: {said[:60]}"
            for _, said in answers
            if re.search(r"\\[a-z(]|\{[a-z:]+\}`", said)
        ]
    return faults


def take_screenshot(chrome: webdriver.Chrome, width: str, file: Path) -> None:
    height = chrome.execute_script("return document.documentElement.scrollHeight")
    clip = {"x": 0, "y": 0, "width": WIDTHS[width][0], "height": height, "scale": 1}
    shot = chrome.execute_cdp_cmd(
        "Page.captureScreenshot", {"clip": clip, "captureBeyondViewport": True}
    )
    file.write_bytes(base64.b64decode(shot["data"]))


def pages_of(site: Path, only: str) -> list[Path]:
    """All pages but the root one, which is a redirect to the first."""
    redirect = site / "index.html"
    pages = [page for page in html_pages(site) if page != redirect]
    return [page for page in pages if only in page.relative_to(site).as_posix()]


def look_at_all(
    chrome: webdriver.Chrome, site: Path, pages: list[Path], shots: Path | None
) -> dict[str, dict[str, list[str]]]:
    """page -> fault -> the views in which it was seen."""
    found: dict[str, dict[str, list[str]]] = {}
    for page in pages:
        name = page.relative_to(site).as_posix()
        views: dict[str, list[str]] = defaultdict(list)
        for width in WIDTHS:
            for theme in THEMES:
                for fault in look_at(chrome, page, width, theme):
                    views[fault].append(f"{width} {theme}")
                if shots:
                    shot = f"{page.stem}-{width}-{theme}.png"
                    take_screenshot(chrome, width, shots / shot)
        found[name] = views
    return found


def report(found: dict[str, dict[str, list[str]]]) -> int:
    """Print the faults, and return how many there are."""
    for page, views in sorted(found.items()):
        for fault, where in views.items():
            seen = "" if len(where) in (0, 4) else f" [{', '.join(where)}]"
            print(f"{page}: {fault}{seen}")
    return sum(map(len, found.values()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--site", type=Path, default=ROOT / "_build" / "html")
    parser.add_argument("--only", default="", help="pages whose path contains this")
    parser.add_argument("--screenshots", type=Path, help="folder for pictures")
    arguments = parser.parse_args()
    site = arguments.site.resolve()
    pages = pages_of(site, arguments.only)
    if not pages:
        print(f"no pages in {site}; make book builds them", file=sys.stderr)
        return 2
    if arguments.screenshots:
        arguments.screenshots.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    try:
        chrome = open_browser()
    except NoBrowserError as missing:
        print(missing, file=sys.stderr)
        return 2
    try:
        found = look_at_all(chrome, site, pages, arguments.screenshots)
        lost = search_faults(chrome, site)
    finally:
        chrome.quit()
    for faults in (link_faults(site), notebook_faults(site), {"search.html": lost}):
        for page, sentences in faults.items():
            found.setdefault(page, {}).update({fault: [] for fault in sentences})
    count = report(found)
    seconds = time.monotonic() - started
    print(
        f"{len(pages)} pages checked at 1280 and 390 px, light and dark: "
        f"{count} faults, {seconds:.0f} s"
    )
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
