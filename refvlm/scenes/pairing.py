"""Pictures and texts that belong together: what is said of a scene to find it by.

A caption must fit its own picture and no other that it is compared with, so scenes are
drawn `different`: no two of them hold the same objects.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .language import caption as full_caption
from .language import describe
from .sampling import sample
from .world import COLOURS, Scene

TWO = 0.5  # how often a picture has two objects; else it has one

PHRASES = ("{}.", "there is {}.", "a picture of {}.", "we see {}.")
"""What is said about a picture of one object; `{}` is "a large red ring"."""

PROMPTS = tuple(phrase.replace("{}", "a {}") for phrase in PHRASES)
"""The templates of zero-shot classification: `{}` is "large red ring"."""


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """What is in a picture, in one of some phrasings; of two objects, how they lie."""
    if len(scene.objects) > 1:
        return full_caption(scene, rng)
    phrase = PHRASES[rng.integers(len(PHRASES))]
    return phrase.format(describe(scene.objects[0]))


def different(
    rng: np.random.Generator, count: int, colours: Sequence[str] = COLOURS
) -> list[Scene]:
    """Scenes of one or two objects in these colours, no two scenes of the same ones."""
    if not set(colours) <= set(COLOURS) or len(colours) < 2:
        raise ValueError(f"different: {colours!r:.80} are not two or more colours")
    found: dict[tuple[str, ...], Scene] = {}
    while len(found) < count:
        scene = sample(rng, count=2 if rng.random() < TWO else 1)
        if all(thing.colour in colours for thing in scene.objects):
            found.setdefault(contents(scene), scene)
    return list(found.values())


def contents(scene: Scene) -> tuple[str, ...]:
    """What is in a picture, wherever it lies: what its caption must tell apart."""
    return tuple(sorted(map(describe, scene.objects)))
