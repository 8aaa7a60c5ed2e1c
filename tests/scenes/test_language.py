"""Captions: what is said, and that it is true."""

import hypothesis
import numpy as np
import pytest

from refvlm import scenes

from ..spec import example, law
from .worlds import mentions, seeds, thing, worlds

ONE = scenes.Scene((thing("star", "red", "large", 0.2, 0.8),))
TWO = scenes.Scene(
    (
        thing("circle", "red", "large", 0.2, 0.3),
        thing("ring", "blue", "small", 0.8, 0.6),
    )
)


@example
def test_captions_of_one_object_name_its_place():
    """Two phrasings; the place is a third by a third of the picture."""
    assert scenes.captions(ONE) == [
        "a large red star at the bottom left.",
        "there is a large red star at the bottom left.",
    ]


@example
def test_captions_of_two_objects_relate_them():
    """Four relations and two lists."""
    assert scenes.captions(TWO) == [
        "a large red circle to the left of a small blue ring.",
        "a small blue ring to the right of a large red circle.",
        "a large red circle above a small blue ring.",
        "a small blue ring below a large red circle.",
        "from left to right: a large red circle and a small blue ring.",
        "from top to bottom: a large red circle and a small blue ring.",
    ]


@example
@pytest.mark.parametrize(
    ("x", "y", "place"),
    [
        (0.1, 0.1, "top left"),
        (0.5, 0.1, "top"),
        (0.5, 0.5, "centre"),
        (0.9, 0.5, "right"),
        (0.34, 0.5, None),
        (0.5, 0.65, None),
        (0.36, 0.5, None),
        (0.37, 0.5, "centre"),
    ],
)
def test_place_of_is_silent_where_one_could_doubt(x, y, place):
    """Within a 32nd of a border between thirds a place has no name."""
    assert scenes.place_of(thing("star", "red", x=x, y=y)) == place


@law
@hypothesis.given(scene=worlds)
def test_captions_are_true_and_complete(scene):
    """The judge, who shares only the vocabulary with the writer, finds no mistake."""
    for caption in scenes.captions(scene):
        judged = scenes.judge(caption, scene)
        assert judged.true and judged.complete and not judged.mistakes, caption


@law
@hypothesis.given(scene=worlds)
def test_captions_are_all_different(scene):
    """Two phrasings of one list would be one phrasing."""
    said = scenes.captions(scene)
    assert len(said) in (2, 6) and all(text.endswith(".") for text in said)
    assert len(set(said)) >= len(said) - 1


@law
@hypothesis.given(seed=seeds)
def test_caption_is_one_of_the_captions(seed):
    """By chance, and by the seed alone."""
    scene = scenes.sample(np.random.default_rng(seed))
    one, other = (scenes.caption(scene, np.random.default_rng(seed)) for _ in "ab")
    assert one == other and one in scenes.captions(scene)


@law
@hypothesis.given(seed=seeds)
def test_captions_of_training_name_no_held_out_pair(seed):
    """The words of training keep the pairs apart, as its pictures do."""
    scene = scenes.sample(np.random.default_rng(seed))
    for caption in scenes.captions(scene):
        assert not mentions(caption) & set(scenes.HELD_OUT)
