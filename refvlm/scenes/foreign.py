"""Pictures that the generator did not draw: the same facts in another hand.

A model could learn how `draw` draws instead of what there is. These functions draw
a scene in plain, independent ways - flat shapes as in a paint program, other
canvases, other shades, other thicknesses - and share no code with `draw`. What is
true about the scene is true about each of these pictures of it.
"""

from __future__ import annotations

import colorsys
import io
import math
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

from .world import PLAIN_COLOURS, Scene

# Colours as web pages name them, where a person would use the same word.
WEB_COLOURS = {
    "red": "red",
    "orange": "orange",
    "yellow": "yellow",
    "green": "green",
    "cyan": "cyan",
    "blue": "blue",
    "purple": "purple",
    "pink": "hotpink",
}

# Colours of the palette of a widespread paint program.
PAINT_COLOURS = {
    "red": "#ed1c24",
    "orange": "#ff7f27",
    "yellow": "#fff200",
    "green": "#22b14c",
    "cyan": "#00e5ff",
    "blue": "#3f48cc",
    "purple": "#8e2fb0",
    "pink": "#ffaec9",
}


def _shape(pen, shape, box, colour, outline=None, line=1, bulk=0.4):
    """One upright shape in a box (left, top, right, bottom). `bulk`, from 0 to 1, is
    how thick rings, crosses and stars are."""
    left, top, right, bottom = box
    x, y, radius = (left + right) / 2, (top + bottom) / 2, (right - left) / 2
    style = dict(fill=colour, outline=outline, width=line)
    if shape == "circle":
        pen.ellipse(box, **style)
    elif shape == "square":
        edge = 0.9 * radius
        pen.rectangle((x - edge, y - edge, x + edge, y + edge), **style)
    elif shape == "triangle":
        pen.polygon([(x, top), (right, bottom), (left, bottom)], **style)
    elif shape == "ring":
        band = max(round(radius * (0.2 + 0.4 * bulk)), 2)
        pen.ellipse(box, outline=colour, width=band)
        if outline is not None:
            inner = (left + band, top + band, right - band, bottom - band)
            pen.ellipse(box, outline=outline, width=line)
            pen.ellipse(inner, outline=outline, width=line)
    elif shape == "cross":
        half = radius * (0.15 + 0.25 * bulk)
        top_right = [(half, -radius), (half, -half), (radius, -half)]
        bottom_right = [(dx, -dy) for dx, dy in reversed(top_right)]
        right_half = top_right + bottom_right
        left_half = [(-dx, dy) for dx, dy in reversed(right_half)]
        tips = [(x + dx, y + dy) for dx, dy in right_half + left_half]
        pen.polygon(tips, **style)
    else:
        inner = radius * (0.3 + 0.25 * bulk)
        tips = []
        for corner in range(10):
            turn = math.radians(36 * corner - 90)
            length = inner if corner % 2 else radius
            tips.append((x + length * math.cos(turn), y + length * math.sin(turn)))
        pen.polygon(tips, **style)


def _paint(scene: Scene, area, colours=WEB_COLOURS, ground="white", **style):
    """Flat shapes without smooth edges on a flat ground, (height, width, 3): a canvas
    of this many pixels, as wide and as high as the scene wants it."""
    unit = math.sqrt(area)
    width = round(unit * math.sqrt(scene.aspect))
    height = round(unit / math.sqrt(scene.aspect))
    canvas = Image.new("RGB", (width, height), ground)
    pen = ImageDraw.Draw(canvas)
    for thing in scene.objects:
        x, y, radius = thing.x * width, thing.y * height, thing.radius * unit
        box = (x - radius, y - radius, x + radius, y + radius)
        _shape(pen, thing.shape, box, colours[thing.colour], **style)
    return np.array(canvas)


def _turned(degrees):
    """The plain colours with their hues moved around the circle of colours."""
    turned = {}
    for name, colour in PLAIN_COLOURS.items():
        hue, saturation, value = colorsys.rgb_to_hsv(*(part / 255 for part in colour))
        parts = colorsys.hsv_to_rgb((hue + degrees / 360) % 1.0, saturation, value)
        turned[name] = tuple(round(255 * part) for part in parts)
    return turned


def _poor_jpeg(scene):
    file = io.BytesIO()
    Image.fromarray(_paint(scene, 320 * 320)).save(file, "JPEG", quality=20)
    return np.array(Image.open(file))


def _way(side, *options, **style):
    """A way to paint a scene on a canvas of `side` by `side` pixels, or as large."""
    return lambda scene: _paint(scene, side * side, *options, **style)


PICTURES: dict[str, Callable[[Scene], np.ndarray]] = {
    "paint program": _way(554, PAINT_COLOURS),
    "web colours": _way(300),
    "on dark grey": _way(300, PLAIN_COLOURS, ground=(60, 60, 60)),
    "JPEG of quality 20": _poor_jpeg,
    "tiny canvas": _way(64),
    "hues +8 degrees": _way(256, _turned(8)),
    "hues -8 degrees": _way(256, _turned(-8)),
    "thick": _way(256, bulk=1.0),
    "thin": _way(256, bulk=0.0),
    "outlined": _way(384, outline="black", line=3),
}
"""Name -> function from a scene to its picture, (height, width, 3) uint8. A picture
is as wide as its scene's aspect says, so pad it before a model sees it."""

CANVASES = {"square": 1.0, "4:3": 4 / 3, "wide, 2:1": 2.0, "tall, 1:2": 0.5}
"""Aspects for `sample(rng, aspect=...)`: what other people's canvases are like."""
