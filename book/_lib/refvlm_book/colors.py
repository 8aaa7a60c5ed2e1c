"""The colours of the book's figures, on a light page and on a dark one.

A figure is transparent and drawn in the colours of the light page. The build writes a
second copy of it in which each of these colours is replaced by its twin, and a page
shows the copy that suits it. Any other colour stays: a photograph, a colour map, the
"white" of a number on a dark cell.
"""

from __future__ import annotations

import re

INK = "#1f2933"
TEAL = "#0b7a75"
ORANGE = "#c96f12"
BLUE = "#2f6fb5"
ROSE = "#b8336a"
GRAY = "#7b8794"
GRID = "#e4e7eb"
PAPER = "#fffefb"

TWINS = {
    INK: "#dfe3e4",
    TEAL: "#4fc3b6",
    ORANGE: "#eda558",
    BLUE: "#7db3ef",
    ROSE: "#ee86ae",
    GRAY: "#9aa7b1",
    GRID: "#2d363c",
    PAPER: "#15191c",
}

# What is written on a bright cell of a colour map is dark on either page.
ON_BRIGHT = "#10161c"

ANY = re.compile("|".join(TWINS), re.IGNORECASE)


def in_the_dark(svg: str) -> str:
    """The same drawing in the colours of the dark page."""
    return ANY.sub(lambda match: TWINS[match[0].lower()], svg)


def contrast(color: str, other: str) -> float:
    """How well two colours can be told apart by lightness, from 1 to 21."""
    darker, lighter = sorted(map(_luminance, (color, other)))
    return (lighter + 0.05) / (darker + 0.05)


def _luminance(color: str) -> float:
    """Relative luminance, as WCAG 2 defines it for sRGB."""
    channels = (int(color[place : place + 2], 16) / 255 for place in (1, 3, 5))
    linear = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4
        for value in channels
    )
    return sum(part * value for part, value in zip((0.2126, 0.7152, 0.0722), linear))
