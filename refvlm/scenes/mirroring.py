"""The world in a mirror: left becomes right, and what is said about it follows."""

from __future__ import annotations

import re
from dataclasses import replace

from .world import Scene


def mirror(scene: Scene) -> Scene:
    """The scene flipped left to right.

    Its picture is the flipped picture, up to the grain of noise and JPEG.
    """
    objects = tuple(
        replace(thing, x=1.0 - thing.x, angle=-thing.angle) for thing in scene.objects
    )
    ground = scene.background
    ground = replace(ground, mirrored=not ground.mirrored)
    return replace(scene, objects=objects, background=ground)


def mirror_text(text: str) -> str:
    """What is true about the mirrored scene if `text` is about the scene itself.

    A list from left to right is turned around, so that it still begins at the left.

    >>> mirror_text("a large red ring to the left of a small blue star.")
    'a large red ring to the right of a small blue star.'
    >>> mirror_text("from left to right: a ring, a star and a cross.")
    'from left to right: a cross, a star and a ring.'
    """
    start = "from left to right: "
    if text.startswith(start):
        listed = re.split(r", | and ", text.removeprefix(start).rstrip("."))
        *before, last = reversed(listed)
        return f"{start}{', '.join(before)}{' and ' if before else ''}{last}."
    swapped = {"left": "right", "right": "left"}
    return re.sub(r"\b(left|right)\b", lambda word: swapped[word[0]], text)
