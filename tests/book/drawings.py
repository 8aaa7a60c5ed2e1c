"""What is wrong with a figure that can be seen in its SVG: letters, ink, background.

The book's figures are drawn by Matplotlib, which writes each text as a group of glyphs,
scaled from a hundred units to its size in points.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from refvlm_book.colors import ON_BRIGHT, PAPER, TWINS, contrast

LEAST_PIXELS = 9.5
LEAST_CONTRAST = 1.5
SVG = "{http://www.w3.org/2000/svg}"
SCALE = re.compile(r"scale\(([\d.]+) -")
FILL = re.compile(r"fill: (#[0-9a-f]{6}|none)")
STROKE = re.compile(r"stroke: (#[0-9a-f]{6})")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
ON_A_COLOR_MAP = {"#ffffff", ON_BRIGHT}
INKS = {"light": set(TWINS), "dark": set(TWINS.values())}
PAGES = {"light": PAPER, "dark": TWINS[PAPER]}


def drawing_faults(svg: str, shown: float, theme: str) -> Iterator[str]:
    """The faults of one figure, `shown` pixels wide on a light or a dark page."""
    root = ElementTree.fromstring(svg)
    width, height = map(float, root.get("viewBox").split()[2:])
    letters = list(_letters(root))
    sizes = [points * shown / width for points, _ in letters]
    if sizes and min(sizes) < LEAST_PIXELS - 0.05:
        yield f"has letters of {min(sizes):.1f} px, shown {shown:.0f} px wide"
    unknown = {ink for _, ink in letters} - INKS[theme] - ON_A_COLOR_MAP
    for ink in sorted(unknown):
        yield f"has letters in {ink}, which has no twin on the other page"
    for ink in sorted(set(STROKE.findall(svg)) - INKS[theme] - ON_A_COLOR_MAP):
        if contrast(ink, PAGES[theme]) < LEAST_CONTRAST:
            yield f"has lines in {ink}, which nobody sees on a {theme} page"
    if any(_covers(path, width, height) for path in _patches(root)):
        yield "has an opaque background"


def _letters(root: ElementTree.Element) -> Iterator[tuple[float, str]]:
    """(points, colour) of every text; black is what Matplotlib leaves out."""
    for text in root.iter(f"{SVG}g"):
        if not text.get("id", "").startswith("text_"):
            continue
        for group in text.iter(f"{SVG}g"):
            if scale := SCALE.search(group.get("transform", "")):
                fill = FILL.search(group.get("style", ""))
                yield 100 * float(scale[1]), fill[1] if fill else "#000000"


def _patches(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    for group in root.iter(f"{SVG}g"):
        if group.get("id", "").startswith("patch_"):
            yield from group.findall(f"{SVG}path")


def _covers(path: ElementTree.Element, width: float, height: float) -> bool:
    """Whether a patch is filled, opaque, and as large as half of the figure."""
    style = path.get("style", "")
    fill = FILL.search(style)
    if "opacity" in style or (fill and fill[1] == "none"):
        return False
    numbers = [float(number) for number in NUMBER.findall(path.get("d", ""))]
    across, down = numbers[::2], numbers[1::2]
    if not across or not down:
        return False
    area = (max(across) - min(across)) * (max(down) - min(down))
    return area > 0.5 * width * height
