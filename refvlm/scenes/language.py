"""What is said about a scene: captions, in one plain style.

One object: "a large red circle at the top left."
Two: "a large red circle to the left of a small blue square."
Any number: "from top to bottom: a small blue square, a pink star and a red ring."
"""

from __future__ import annotations

import numpy as np

from .world import CLEAR, Object, Scene

AXES = {"x": "from left to right", "y": "from top to bottom"}
RELATIONS = {
    "x": ("to the left of", "to the right of"),
    "y": ("above", "below"),
}
LISTED = 0.7
"""How often several objects are listed in order, whatever else could be said."""

WAYS = {"x": ("left", "right"), "y": ("above", "below")}
THIRDS = {"x": ("left", "", "right"), "y": ("top", "", "bottom")}


def captions(scene: Scene) -> list[str]:
    """Every caption of a scene; each names all objects.

    >>> captions(Scene((Object("ring", "red", "large", 0.2, 0.2, 0.2),)))
    ['a large red ring at the top left.', 'there is a large red ring at the top left.']
    """
    if len(scene.objects) == 1:
        (thing,) = scene.objects
        words, place = describe(thing), place_of(thing)
        where = f" at the {place}" if place else ""
        return [f"{words}{where}.", f"there is {words}{where}."]
    listed = [f"{AXES[axis]}: {_list(scene, axis)}." for axis in "xy"]
    return (_relations(scene) if len(scene.objects) == 2 else []) + listed


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One of the captions, by chance: mostly a list, where there can be one."""
    choices = captions(scene)
    if len(scene.objects) > 1 and rng.random() < LISTED:
        choices = choices[-len(AXES) :]
    return choices[rng.integers(len(choices))]


def describe(thing: Object) -> str:
    """An object in four words."""
    return f"a {thing.size} {thing.colour} {thing.shape}"


def place_of(thing: Object) -> str | None:
    """The place of an object among the nine thirds by thirds of the picture, or None
    where a person could doubt it."""
    down, across = _third(thing.y), _third(thing.x)
    if down is None or across is None:
        return None
    return f"{THIRDS['y'][down]} {THIRDS['x'][across]}".strip() or "centre"


def _third(position):
    if min(abs(position - 1 / 3), abs(position - 2 / 3)) < CLEAR:
        return None
    return int(3 * min(max(position, 0.0), 0.999))


def in_order(scene: Scene, axis: str) -> list[Object]:
    """The objects from left to right, or from top to bottom."""
    return sorted(scene.objects, key=lambda thing: getattr(thing, axis))


def _list(scene, axis):
    *before, last = map(describe, in_order(scene, axis))
    return f"{', '.join(before)} and {last}"


def _relations(scene):
    said = []
    for axis, (before, after) in RELATIONS.items():
        first, second = map(describe, in_order(scene, axis))
        said += [f"{first} {before} {second}.", f"{second} {after} {first}."]
    return said
