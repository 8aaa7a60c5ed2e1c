"""Scenes beyond the world: what training never showed, one thing at a time.

Each family changes one thing of an ordinary scene, so that what a model gets wrong
about it is owed to that: a shape turned further, a larger one, several in a row. They
are what the limits on the cards of `weights/` are counted on.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from .layout import closest_distances, place_objects
from .sampling import sample
from .world import RADII, TRAINING_PAIRS, Camera, Object, Scene

EDGE = 0.02  # between a shape and the edge of the picture
FURTHEST = 1.17  # the farthest point of any shape, in radii


def _alone(rng, shapes=None):
    """One object of some shapes on a square canvas."""
    while True:
        scene = sample(rng, count=1, aspect=1.0)
        if shapes is None or scene.objects[0].shape in shapes:
            return scene


def _turned(rng, shapes, low, high):
    """One shape, turned to the left or to the right by so many degrees."""
    scene = _alone(rng, shapes)
    angle = float(rng.uniform(low, high)) * (1 if rng.random() < 0.5 else -1)
    return replace(scene, objects=(replace(scene.objects[0], angle=angle),))


def _large(rng, low, high):
    """One large shape of a radius between these, whole, where there is room for it."""
    scene = _alone(rng)
    radius = float(rng.uniform(low, high))
    free = max(0.5 - FURTHEST * radius - EDGE, 0.0)
    x, y = (0.5 + free * rng.uniform(-1, 1, 2)).tolist()
    thing = replace(
        scene.objects[0], size="large", radius=radius, x=x, y=y, stretch=1.0
    )
    return replace(scene, objects=(thing,))


def _in_line(rng, axis):
    """Two to four small shapes of which none is above, or none left of, another."""
    scene = sample(rng, count=int(rng.integers(2, 5)), aspect=1.0)
    count = len(scene.objects)
    along = (np.arange(count) + 0.5 + rng.uniform(-0.1, 0.1, count)) / count
    across = float(rng.uniform(0.25, 0.75))
    radii = rng.uniform(*RADII["small"], count)
    objects = []
    for thing, place, radius in zip(scene.objects, along.tolist(), radii.tolist()):
        x, y = (place, across) if axis == "x" else (across, place)
        objects.append(replace(thing, size="small", radius=radius, x=x, y=y))
    return replace(scene, objects=tuple(objects))


def _stretched(rng, aspect):
    """One or two objects on a canvas that is far from square."""
    scene = sample(rng, count=int(rng.integers(1, 3)), aspect=1.0)
    radii = np.array([thing.radius for thing in scene.objects])
    colours = [thing.colour for thing in scene.objects]
    places = place_objects(rng, radii, colours, aspect).tolist()
    objects = [replace(t, x=x, y=y) for t, (x, y) in zip(scene.objects, places)]
    return replace(scene, objects=tuple(objects), aspect=aspect)


def _of_hue(rng, colour, low, high):
    """One object of a colour, its hue between these degrees."""
    scene = _alone(rng)
    while scene.objects[0].colour != colour:
        scene = _alone(rng)
    hue, saturation, value = rng.uniform((low, 0.75, 0.7), (high, 1.0, 1.0))
    parts = colorsys.hsv_to_rgb(hue / 360, saturation, value)
    red, green, blue = (round(255 * part) for part in parts)
    return replace(scene, objects=(replace(scene.objects[0], rgb=(red, green, blue)),))


def _crowd(rng, low, high):
    """So many small shapes, none of which touches another."""
    ground = sample(rng, count=1, aspect=1.0)
    pairs = [TRAINING_PAIRS[i] for i in rng.integers(len(TRAINING_PAIRS), size=high)]
    count = int(rng.integers(low, high + 1))
    radii = rng.uniform(RADII["small"][0], RADII["small"][0] * 1.2, count)
    apart = closest_distances(radii, ["alike"] * count)
    while True:  # one in some dozen is without a touch
        places = rng.uniform(0.1, 0.9, (count, 2))
        distances = np.linalg.norm(places[:, None] - places, axis=-1)
        if (distances >= apart).all():
            break
    objects = tuple(
        Object(shape, colour, "small", float(x), float(y), float(radius))
        for (colour, shape), radius, (x, y) in zip(pairs, radii, places)
    )
    return replace(ground, objects=objects)


def _nothing(rng):
    """The ground alone."""
    return replace(sample(rng), objects=())


def _noise(rng, low, high, scene=None):
    """Noise of a standard deviation between these, in levels of 255."""
    scene = sample(rng, count=1, aspect=1.0) if scene is None else scene(rng)
    noise = Camera(noise=float(rng.uniform(low, high)), seed=int(rng.integers(2**31)))
    return replace(scene, camera=noise)


Family = Callable[[np.random.Generator], Scene]

TILTED = "square", "triangle", "star", "cross"  # round ones can turn as they like

ALONE: dict[str, Family] = {
    "one object, as in training": _alone,
    "turned by 12 to 30 degrees": partial(_turned, shapes=TILTED, low=12, high=30),
    **{
        f"{shape} turned by 30 to 60 degrees": partial(
            _turned, shapes=(shape,), low=30, high=60
        )
        for shape in TILTED
    },
    "of radius 0.21 to 0.25": partial(_large, low=0.21, high=0.25),
    "of radius 0.25 to 0.32": partial(_large, low=0.25, high=0.32),
    "of radius 0.32 to 0.40": partial(_large, low=0.32, high=0.40),
    "blue of hue 200 to 209": partial(_of_hue, colour="blue", low=200, high=209),
    "cross": partial(_alone, shapes=("cross",)),
    "noise of 40 to 60 levels": partial(_noise, low=40, high=60),
    "noise of 60 to 90 levels": partial(_noise, low=60, high=90),
    "noise of 90 to 120 levels": partial(_noise, low=90, high=120),
}
"""Name -> a function from a generator to a scene of one object."""

SEVERAL: dict[str, Family] = {
    "one to four objects, as in training": sample,
    "two to four in a row": partial(_in_line, axis="x"),
    "two to four in a column": partial(_in_line, axis="y"),
    "one or two on a canvas of 3:1": partial(_stretched, aspect=3.0),
    "one or two on a canvas of 1:3": partial(_stretched, aspect=1 / 3),
}
"""The same for scenes of several, which a caption can still be right about."""

UNSAYABLE: dict[str, Family] = {
    "five to seven objects": partial(_crowd, low=5, high=7),
    "eight to ten objects": partial(_crowd, low=8, high=10),
    "nothing on the ground": _nothing,
    "noise and nothing else": partial(_noise, low=60, high=120, scene=_nothing),
}
"""The same for what no caption of the world's style says."""
