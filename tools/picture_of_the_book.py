"""Draw the README's picture of the book: a page on a desk and on a phone.

    make book && python tools/picture_of_the_book.py book/attention --from-heading 2

It needs what the page check needs: Chromium, its driver and selenium.
"""

from __future__ import annotations

import argparse
import base64
import io
import sys
import time
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "book"))

from check_pages import open_browser, set_view  # noqa: E402

HEIGHT, GAP, DESK, PHONE = 844, 24, 1040, 390
TO_HEADING = "document.querySelectorAll('article h2')[arguments[0]].scrollIntoView()"


def look(chrome, page: str, width: str, theme: str, heading: int) -> Image.Image:
    """What a reader sees after following a link to a section."""
    set_view(chrome, width, theme)
    chrome.get((ROOT / "_build" / "html" / f"{page}.html").as_uri())
    chrome.execute_async_script(
        "const done = arguments[0];"
        "(window.MathJax ? MathJax.startup.promise : Promise.resolve()).then(done)"
    )
    if heading:
        chrome.execute_script(TO_HEADING, heading - 1)
    time.sleep(1)  # images and fonts come in after the formulas
    shot = chrome.execute_cdp_cmd("Page.captureScreenshot", {})["data"]
    return Image.open(io.BytesIO(base64.b64decode(shot))).convert("RGB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", help="as in _toc.yml, such as book/attention")
    parser.add_argument("--from-heading", type=int, default=0, metavar="N")
    parser.add_argument("--phone-from-heading", type=int, metavar="N")
    arguments = parser.parse_args()
    on_phone = arguments.phone_from_heading
    if on_phone is None:
        on_phone = arguments.from_heading
    chrome = open_browser()
    try:
        desk = look(chrome, arguments.page, "wide", "light", arguments.from_heading)
        phone = look(chrome, arguments.page, "phone", "dark", on_phone)
    finally:
        chrome.quit()
    picture = Image.new("RGB", (DESK + GAP + PHONE, HEIGHT), "#d9dde1")
    picture.paste(desk.crop((0, 0, DESK, HEIGHT)), (0, 0))
    picture.paste(phone.crop((0, 0, PHONE, HEIGHT)), (DESK + GAP, 0))
    target = ROOT / "book" / "images" / "book.png"
    picture.quantize(160, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target.relative_to(ROOT)}: {target.stat().st_size // 1000} KB")


if __name__ == "__main__":
    main()
