"""The spec of refvlm/scenes/beyond.py: each family differs in the thing it is named
after, and is a scene that can be drawn."""

import colorsys
import math

import numpy as np
import pytest

from refvlm import scenes
from refvlm.scenes.beyond import ALONE, SEVERAL, UNSAYABLE
from refvlm.scenes.world import RADII

from ..spec import law

FAMILIES = ALONE | SEVERAL | UNSAYABLE


def some(name, count=60):
    rng = np.random.default_rng(4)
    return [FAMILIES[name](rng) for _ in range(count)]


@law
@pytest.mark.parametrize("name", FAMILIES)
def test_families_can_be_drawn_and_show_no_held_out_pair(name):
    """They are unlike training in one thing, and not in their pairs too."""
    for scene in some(name, 10):
        assert scenes.draw(scene).shape == (128, 128, 3)
        assert not {thing.pair for thing in scene.objects} & set(scenes.HELD_OUT)


@law
@pytest.mark.parametrize("name", ALONE)
def test_alone_is_one_object_whole_in_the_picture(name):
    """A shape that is cut off would be another difficulty."""
    for scene in some(name):
        (thing,) = scene.objects
        assert thing.radius < min(thing.x, thing.y, 1 - thing.x, 1 - thing.y)


@law
@pytest.mark.parametrize(
    "name, low, high",
    [
        ("turned by 12 to 30 degrees", 12, 30),
        *((f"{s} turned by 30 to 60 degrees", 30, 60) for s in ("square", "cross")),
    ],
)
def test_turned_shapes_are_turned_so_far_both_ways(name, low, high):
    """Rings and circles are left out: they look the same."""
    angles = [scene.objects[0].angle for scene in some(name)]
    assert all(low <= abs(angle) <= high for angle in angles)
    assert min(angles) < 0 < max(angles)
    assert not {scene.objects[0].shape for scene in some(name)} & {"ring", "circle"}


@law
def test_large_shapes_are_larger_than_any_of_training():
    """And in steps that do not overlap."""
    ends = RADII["large"][1]
    for low, high in ((0.21, 0.25), (0.25, 0.32), (0.32, 0.40)):
        radii = [
            s.objects[0].radius for s in some(f"of radius {low:.2f} to {high:.2f}")
        ]
        assert ends < low <= min(radii) and max(radii) <= high


@law
def test_lines_share_one_coordinate_and_differ_in_the_other():
    """So that one order of the objects is right and the other says nothing true."""
    for name, one, other in (("row", "y", "x"), ("column", "x", "y")):
        for scene in some(f"two to four in a {name}"):
            assert len({getattr(thing, one) for thing in scene.objects}) == 1
            places = sorted(getattr(thing, other) for thing in scene.objects)
            assert min(np.diff(places)) > 2 * RADII["small"][1] * 0.7


@law
def test_canvases_are_three_times_as_long_as_training_goes():
    """Training ends at 2:1."""
    aspects = {
        s.aspect for n in ("3:1", "1:3") for s in some(f"one or two on a canvas of {n}")
    }
    assert aspects == {3.0, 1 / 3}


@law
def test_blues_are_between_the_hues_of_cyan_and_blue():
    """A person calls #1f77b4 blue."""
    for scene in some("blue of hue 200 to 209"):
        (thing,) = scene.objects
        hue = 360 * colorsys.rgb_to_hsv(*(part / 255 for part in thing.rgb))[0]
        assert thing.colour == "blue" and 199 < hue < 210


@law
def test_crowds_have_more_objects_than_a_number_word():
    """And none of them touches another."""
    for name, counts in (("five to seven", {5, 6, 7}), ("eight to ten", {8, 9, 10})):
        crowds = some(f"{name} objects")
        assert {len(scene.objects) for scene in crowds} == counts
        for scene in crowds[:20]:
            for i, one in enumerate(scene.objects):
                for other in scene.objects[:i]:
                    gap = math.hypot(one.x - other.x, one.y - other.y)
                    assert gap > one.radius + other.radius


@law
def test_nothing_is_drawn_where_nothing_is():
    """The ground and noise have no objects; noise is stronger than in training."""
    for name in ("nothing on the ground", "noise and nothing else"):
        assert all(not scene.objects for scene in some(name))
    assert min(scene.camera.noise for scene in some("noise and nothing else")) >= 60
    assert max(scene.camera.noise for scene in some("one object, as in training")) < 15
