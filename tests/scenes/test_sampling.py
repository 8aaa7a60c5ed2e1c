"""Scenes by chance: what may be in them and where it may stand."""

import itertools
import math
from collections import Counter

import hypothesis
import numpy as np
import pytest
from PIL import Image, ImageDraw

from refvlm import scenes

from ..spec import contract, law
from .worlds import seeds, worlds


@law
@hypothesis.given(seed=seeds)
def test_sample_follows_from_its_seed(seed):
    """Two generators of one seed see one world."""
    one, other = (scenes.sample(np.random.default_rng(seed)) for _ in range(2))
    assert one == other


@law
@hypothesis.given(seed=seeds)
def test_sample_shows_no_held_out_pair_in_training(seed):
    """What training never shows can test whether words are joined freely."""
    scene = scenes.sample(np.random.default_rng(seed))
    assert not {thing.pair for thing in scene.objects} & set(scenes.HELD_OUT)


@law
@hypothesis.given(seed=seeds)
def test_sample_shows_a_held_out_pair_in_the_unseen_split(seed):
    """Every scene of that split asks the question that the split is for."""
    scene = scenes.sample(np.random.default_rng(seed), "unseen")
    assert {thing.pair for thing in scene.objects} & set(scenes.HELD_OUT)


@law
@hypothesis.given(scene=worlds)
def test_sample_keeps_centres_apart_on_both_axes(scene):
    """Left, right, above and below are never in doubt."""
    for one, other in itertools.combinations(scene.objects, 2):
        assert abs(one.x - other.x) >= 12 / 128 - 1e-9
        assert abs(one.y - other.y) >= 12 / 128 - 1e-9


@law
@hypothesis.given(scene=worlds)
def test_sample_keeps_objects_inside_the_picture(scene):
    """A disc around each object, of its radius, does not cross the picture's edge."""
    for thing in scene.objects:
        across = thing.radius / math.sqrt(scene.aspect)
        down = thing.radius * math.sqrt(scene.aspect)
        assert across <= thing.x <= 1 - across
        assert down <= thing.y <= 1 - down


@law
@hypothesis.given(scene=worlds)
def test_sample_leaves_a_gap_between_large_and_small(scene):
    """No size is in doubt: in 128 pixels a large radius is 20 or more, a small one
    13 or less."""
    for thing in scene.objects:
        low, high = {"large": (20, 26), "small": (9, 13)}[thing.size]
        assert low <= 128 * thing.radius <= high


def seen_parts(scene, side=160):
    """The share of each object that no later object hides, by drawing their discs."""
    width = round(side * math.sqrt(scene.aspect))
    height = round(side / math.sqrt(scene.aspect))
    canvas = Image.new("L", (width, height))
    pen, whole = ImageDraw.Draw(canvas), []
    for number, thing in enumerate(scene.objects, 1):
        radius = side * thing.radius
        x, y = thing.x * width, thing.y * height
        whole.append(math.pi * radius**2)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=number)
    counts = np.bincount(np.asarray(canvas).ravel(), minlength=5)
    return [counts[number] / area for number, area in enumerate(whole, 1)]


@law
@hypothesis.given(scene=worlds)
def test_sample_shows_most_of_every_object(scene):
    """At least seven tenths of an object are inside the picture and in sight."""
    assert min(seen_parts(scene)) >= 0.7


@law
def test_sample_makes_all_numbers_of_objects_equally_likely():
    """One, two, three, four: a quarter each, within four standard errors."""
    rng = np.random.default_rng(0)
    counts = Counter(len(scenes.sample(rng).objects) for _ in range(1200))
    assert all(abs(counts[number] - 300) < 60 for number in (1, 2, 3, 4))


@law
def test_sample_shows_every_pair_that_it_may():
    """42 pairs in training, all 48 in the other split."""
    for split, number in (("train", 42), ("unseen", 48)):
        rng = np.random.default_rng(1)
        drawn = [scenes.sample(rng, split) for _ in range(500)]
        assert len({t.pair for scene in drawn for t in scene.objects}) == number


@contract
@pytest.mark.parametrize(
    "options", [{"split": "test"}, {"count": 0}, {"count": 5}, {"aspect": 3.0}]
)
def test_sample_refuses_what_it_cannot_make(options):
    """A split, a count or an aspect that does not exist is named."""
    with pytest.raises(ValueError, match=f"sample: {next(iter(options))} is"):
        scenes.sample(np.random.default_rng(0), **options)
