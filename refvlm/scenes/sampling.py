"""Scenes by chance: what is in them, where it stands, and how it looks."""

from __future__ import annotations

import colorsys
import math

import numpy as np

from .layout import place_objects
from .world import (
    HELD_OUT,
    PAIRS,
    RADII,
    SIZES,
    SPLITS,
    TRAINING_PAIRS,
    Background,
    Camera,
    Object,
    Scene,
)

# Hue in degrees, saturation and value: ranges within which people agree on the
# name. Pink is a pale red with a little blue, purple a dark magenta.
APPEARANCE = {
    "red": ((350, 364), (0.80, 1.0), (0.75, 1.0)),
    "orange": ((23, 38), (0.85, 1.0), (0.92, 1.0)),
    "yellow": ((51, 62), (0.75, 1.0), (0.92, 1.0)),
    "green": ((110, 142), (0.65, 1.0), (0.50, 0.9)),
    "cyan": ((177, 193), (0.65, 1.0), (0.80, 1.0)),
    "blue": ((217, 241), (0.75, 1.0), (0.60, 1.0)),
    "purple": ((274, 300), (0.65, 1.0), (0.48, 0.78)),
    "pink": ((328, 348), (0.28, 0.60), (0.95, 1.0)),
}
ALIKE = 0.3
"""How often an object repeats a colour or a shape that is there already."""

CONTRAST = 90.0


def sample(
    rng: np.random.Generator,
    split: str = "train",
    count: int | None = None,
    aspect: float | None = None,
) -> Scene:
    """A scene of 1 to 4 objects. In the split "train" no object is of a held-out
    pair of colour and shape; in "unseen" at least one is. `aspect` is the picture's
    width over its height; two of three are square if it is not given.

    >>> scene = sample(np.random.default_rng(0), count=3)
    >>> len(scene.objects)
    3
    """
    if split not in SPLITS:
        raise ValueError(f"sample: split is {split!r}, but must be train or unseen")
    if count is None:
        count = int(rng.integers(1, 5))
    if count not in (1, 2, 3, 4):
        raise ValueError(f"sample: count is {count}, but must be 1, 2, 3 or 4")
    aspect = _aspect(rng) if aspect is None else aspect
    if not 0.5 <= aspect <= 2.0:
        raise ValueError(f"sample: aspect is {aspect}, but must be from 1/2 to 2")
    background = _background(rng)
    pairs = _pairs(rng, split, count)
    # The smaller lies above the larger, so that it is not hidden.
    sizes = sorted(SIZES[rng.integers(2)] for _ in range(count))
    radii = np.sort([rng.uniform(*RADII[size]) for size in sizes])[::-1]
    places = place_objects(rng, radii, [colour for colour, _ in pairs], aspect)
    outlined = rng.random() < 0.12
    objects = tuple(
        Object(
            shape,
            colour,
            size,
            float(x),
            float(y),
            float(radius),
            **_looks(rng, colour, shape, background, outlined),
        )
        for (colour, shape), size, radius, (x, y) in zip(pairs, sizes, radii, places)
    )
    return Scene(objects, background, _camera(rng), aspect, _padding(rng, background))


def _pairs(rng, split, count):
    """Colours and shapes, some of them repeated, in any order."""
    allowed = TRAINING_PAIRS if split == "train" else PAIRS
    first = HELD_OUT if split == "unseen" else allowed
    pairs = [first[rng.integers(len(first))]]
    while len(pairs) < count:
        choice = allowed
        if rng.random() < ALIKE:
            part = rng.integers(2)
            model = pairs[rng.integers(len(pairs))]
            choice = tuple(pair for pair in allowed if pair[part] == model[part])
        pairs.append(choice[rng.integers(len(choice))])
    return [pairs[index] for index in rng.permutation(count)]


def _looks(rng, colour, shape, background, outlined):
    """How one object is drawn: its shade, its tilt, its proportions."""
    outline = None
    if outlined:
        outline = (255, 255, 255) if rng.random() < 0.3 else (25, 25, 25)
    tilts = shape in ("square", "triangle", "star", "cross") and rng.random() < 0.7
    return dict(
        rgb=_shade(rng, colour, background),
        angle=float(rng.uniform(-12, 12)) if tilts else 0.0,
        stretch=float(rng.uniform(0.88, 1.14)) if rng.random() < 0.6 else 1.0,
        # A line on both sides of a thin ring would leave nothing of its colour.
        thickness=float(rng.uniform(0.5 if outlined else 0.0, 1.0)),
        outline=outline,
    )


def _shade(rng, colour, background):
    """A shade of this colour that stands out: the first, or the best, of some."""
    shades = []
    for _ in range(6):
        hue, saturation, value = (rng.uniform(*ends) for ends in APPEARANCE[colour])
        shade = _rgb(hue, saturation, value)
        contrast = min(
            math.dist(shade, ground) for ground in (background.colour, background.other)
        )
        if contrast >= CONTRAST:
            return shade
        shades.append((contrast, shade))
    return max(shades)[1]


def _rgb(hue, saturation, value):
    parts = colorsys.hsv_to_rgb(hue / 360 % 1.0, saturation, value)
    return tuple(round(255 * part) for part in parts)


def _aspect(rng):
    """Width over height: mostly 1, else something between 1:2 and 2:1."""
    if rng.random() < 0.65:
        return 1.0
    return float(2.0 ** rng.uniform(-1, 1))


def _padding(rng, background):
    """Grey bars or black ones; one has to see where the picture ends."""
    gray, black = 128, 0
    first, second = (gray, black) if rng.random() < 0.8 else (black, gray)
    grounds = (background.colour, background.other)
    near = min(math.dist(ground, (first,) * 3) for ground in grounds)
    return first if near >= 40 else second


def _background(rng):
    """Flat and light in most pictures, always pale or grey."""
    colour = _ground(rng)
    kind = ("flat", "gradient", "stripes", "blobs")[
        int(np.searchsorted([0.5, 0.75, 0.87], rng.random()))
    ]
    strength = {"flat": 0, "gradient": 45, "stripes": 18, "blobs": 22}[kind]
    shift = strength * rng.uniform(-1, 1) + 0.3 * strength * rng.uniform(-1, 1, 3)
    red, green, blue = map(int, np.clip(np.add(colour, shift), 0, 255))
    return Background(
        kind,
        colour,
        (red, green, blue),
        angle=float(rng.uniform(0, 360)),
        period=float(rng.uniform(0.08, 0.4)),
        seed=int(rng.integers(2**31)),
    )


def _ground(rng):
    """White, light, mid or dark grey, nearly black, or a pale tint."""
    chance = rng.random()
    if chance < 0.25:
        return (255, 255, 255)
    if chance < 0.85:
        low, high = ((200, 250), (90, 200), (30, 90), (0, 30))[
            int(np.searchsorted([0.5, 0.65, 0.75], chance))
        ]
        return (int(rng.integers(low, high)),) * 3
    return _rgb(rng.uniform(0, 360), rng.uniform(0.03, 0.13), rng.uniform(0.7, 1.0))


def _camera(rng):
    """Often nothing happens; else a little of one thing or another."""
    noisy, blurred, packed, jagged = rng.random(4) < (0.35, 0.15, 0.2, 0.15)
    return Camera(
        smooth_edges=not jagged,
        blur=float(rng.uniform(0.3, 0.9)) / 128 if blurred else 0.0,
        noise=float(2.0 ** rng.uniform(0.5, 3.7)) if noisy else 0.0,
        seed=int(rng.integers(2**31)),
        jpeg=int(rng.integers(30, 91)) if packed else None,
    )
