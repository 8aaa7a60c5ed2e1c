"""Which object a phrase means: questions may only ask about what is unmistakable."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np

from .world import HELD_OUT, SPLITS, Object, Scene


class Seen:
    """A scene as a questioner sees it: which objects a phrase means."""

    def __init__(self, scene: Scene, split: str):
        self.scene = scene
        self.objects = scene.objects
        self.split = split
        self.pairs = {thing.pair for thing in self.objects}
        self.shapes = Counter(thing.shape for thing in self.objects)
        self.colours = Counter(thing.colour for thing in self.objects)

    def meant(self, *names):
        """The objects that share all these attributes with no other, by name."""
        keys = [tuple(getattr(thing, n) for n in names) for thing in self.objects]
        often = Counter(keys)
        return [thing for thing, key in zip(self.objects, keys) if often[key] == 1]

    def names(self, *shortest):
        """(object, its name) for all that can be told apart, size only if needed."""
        short = self.meant(*shortest)
        longer = self.meant("size", *shortest)
        return [
            (thing, shortest if thing in short else ("size", *shortest))
            for thing in longer
        ]

    def preferred(self, objects):
        """The held-out ones, if that is what is being tested and there are any."""
        if self.split == "unseen":
            return [thing for thing in objects if thing.pair in HELD_OUT] or objects
        return objects

    def choose(self, rng, named):
        """One of some (object, name)."""
        wanted = self.preferred([thing for thing, _ in named])
        named = [item for item in named if item[0] in wanted]
        return named[rng.integers(len(named))]

    def two(self, rng, named):
        """Two different ones in any order, one of them preferred."""
        first = self.choose(rng, named)
        second = pick(rng, [item for item in named if item is not first])
        return (first, second) if rng.random() < 0.5 else (second, first)


def pick(rng, choices):
    """One of some, by chance."""
    return choices[rng.integers(len(choices))]


def by_weight(rng, weights: Mapping[str, float]) -> str:
    """One of some, by chance, as often as its weight says."""
    names = list(weights)
    ends = np.cumsum([weights[name] for name in names])
    place = int(np.searchsorted(ends, rng.random() * ends[-1], "right"))
    return names[min(place, len(names) - 1)]


def check_asked(
    function: str, split: str, weights: Mapping[str, float], kinds: Collection[str]
) -> None:
    """Refuse a split that is none, and weights of what is no kind of question."""
    if split not in SPLITS:
        raise ValueError(f"{function}: split is {split!r}, but must be train or unseen")
    if unknown := weights.keys() - set(kinds):
        raise ValueError(
            f"{function}: there is no kind {', '.join(sorted(unknown))}: there are "
            f"{', '.join(kinds)}"
        )
    if not all(0 <= weight < math.inf for weight in weights.values()):
        raise ValueError(f"{function}: weights are finite and not negative: {weights}")


def yes_or_no(truth) -> str:
    return "yes" if truth else "no"


def name_of(thing: Object, attributes) -> str:
    """The object in the words of these attributes: "red star", "large object"."""
    words = " ".join(getattr(thing, attribute) for attribute in attributes)
    return words if "shape" in attributes else f"{words} object"


def plural(shape: str) -> str:
    """Two of a shape.

    >>> plural("cross"), plural("star")
    ('crosses', 'stars')
    """
    return f"{shape}es" if shape.endswith("s") else f"{shape}s"
