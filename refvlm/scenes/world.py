"""What there is: shapes, colours and sizes, and the picture that holds them.

A picture is `aspect` times as wide as it is high. Places are fractions of its
sides: (0, 0) is the top left corner, (1, 1) the bottom right one. A radius is a
fraction of the square root of the picture's area, so that "large" means the same
in a square picture and in a wide one. In a square picture both units are its side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

SHAPES: tuple[str, ...] = ("circle", "square", "triangle", "star", "cross", "ring")
COLOURS: tuple[str, ...] = (
    "red",
    "orange",
    "yellow",
    "green",
    "cyan",
    "blue",
    "purple",
    "pink",
)
SIZES = ("large", "small")
PLACES = (
    *("top left", "top", "top right"),
    *("left", "centre", "right"),
    *("bottom left", "bottom", "bottom right"),
)
NUMBERS = ("zero", "one", "two", "three", "four")
SPLITS = ("train", "unseen")

HELD_OUT: tuple[tuple[str, str], ...] = (
    ("orange", "circle"),
    ("pink", "square"),
    ("purple", "triangle"),
    ("cyan", "star"),
    ("blue", "cross"),
    ("green", "ring"),
)
"""Pairs that training never shows and never mentions. Each of their words is
learnt in other company; whoever has understood the words can join them."""

PAIRS = tuple((colour, shape) for colour in COLOURS for shape in SHAPES)
TRAINING_PAIRS = tuple(pair for pair in PAIRS if pair not in HELD_OUT)

RADII = {"large": (20 / 128, 26 / 128), "small": (9 / 128, 13 / 128)}
APART = 12 / 128
"""Two centres differ by at least this much, across and down: one of two objects
is always clearly to the left, and one clearly above."""

CLEAR = 4 / 128
"""A place has a name if it is at least this far inside its third of the picture."""

PLAIN_COLOURS = {
    "red": (230, 25, 25),
    "orange": (250, 135, 15),
    "yellow": (250, 235, 20),
    "green": (30, 175, 50),
    "cyan": (25, 215, 235),
    "blue": (30, 60, 225),
    "purple": (125, 35, 175),
    "pink": (255, 145, 190),
}


@dataclass(frozen=True)
class Object:
    """One shape in a picture. `angle` is in degrees, clockwise; `stretch` is width
    over height; `thickness`, from 0 to 1, is that of a ring, a cross or a star;
    `outline` is the colour of a line around it."""

    shape: str
    colour: str
    size: str
    x: float
    y: float
    radius: float
    rgb: tuple[int, int, int] | None = None
    angle: float = 0.0
    stretch: float = 1.0
    thickness: float = 0.5
    outline: tuple[int, int, int] | None = None

    def __post_init__(self):
        for value, words in (
            (self.shape, SHAPES),
            (self.colour, COLOURS),
            (self.size, SIZES),
        ):
            if value not in words:
                raise ValueError(f"Object: {value!r} is none of {', '.join(words)}")
        if self.rgb is None:
            object.__setattr__(self, "rgb", PLAIN_COLOURS[self.colour])

    @property
    def pair(self) -> tuple[str, str]:
        """The two words that training holds apart for some pairs."""
        return self.colour, self.shape


@dataclass(frozen=True)
class Background:
    """`kind` is flat, gradient, stripes or blobs, between two colours near each
    other; `seed` is that of the blobs, `period` that of the stripes."""

    kind: str = "flat"
    colour: tuple[int, int, int] = (255, 255, 255)
    other: tuple[int, int, int] = (255, 255, 255)
    angle: float = 0.0
    period: float = 0.25
    seed: int = 0
    mirrored: bool = False


@dataclass(frozen=True)
class Camera:
    """What happens to a picture on its way: blur (a radius, in the unit of radii),
    noise (its standard deviation, in levels of 255), JPEG of some quality."""

    smooth_edges: bool = True
    blur: float = 0.0
    noise: float = 0.0
    seed: int = 0
    jpeg: int | None = None


@dataclass(frozen=True)
class Scene:
    """All that is needed to draw a picture, and to know what is true about it.

    Objects stand in the order in which they are drawn. The picture is padded to a
    square with bars of the grey level `padding`, as every picture is that a
    square-eyed model sees.
    """

    objects: tuple[Object, ...]
    background: Background = field(default_factory=Background)
    camera: Camera = field(default_factory=Camera)
    aspect: float = 1.0
    padding: int = 128

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height of the picture in units of the square around it."""
        return min(1.0, self.aspect), min(1.0, 1.0 / self.aspect)

    def in_square(self, thing: Object) -> tuple[float, float, float]:
        """An object's x, y and radius in units of the padded square's side.

        >>> wide = Scene((Object("ring", "red", "large", 0.5, 0.0, 0.2),), aspect=2.0)
        >>> wide.in_square(wide.objects[0])[:2]
        (0.5, 0.25)
        """
        width, height = self.extent
        return (
            (1.0 - width) / 2 + thing.x * width,
            (1.0 - height) / 2 + thing.y * height,
            thing.radius * math.sqrt(width * height),
        )
