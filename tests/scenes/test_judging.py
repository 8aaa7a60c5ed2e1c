"""The judge: true is true, and one wrong word is found."""

import re

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from refvlm import scenes
from refvlm.scenes import Question

from ..spec import example, law
from .worlds import seeds, thing, worlds

TWO = scenes.Scene(
    (
        thing("circle", "red", "large", 0.2, 0.3),
        thing("ring", "blue", "small", 0.8, 0.6),
    )
)


@example
@pytest.mark.parametrize(
    ("caption", "true", "complete"),
    [
        ("a large red circle above a small blue ring.", True, True),
        ("a small blue ring.", True, False),
        ("a small blue ring at the right.", True, False),
        ("a small blue ring at the left.", False, False),
        ("a large red circle below a small blue ring.", False, True),
        ("a large red circle above a small blue star.", False, False),
        (
            "from left to right: a large red circle, a small blue ring and a small "
            "blue ring.",
            False,
            False,
        ),
        ("a dog.", False, False),
    ],
)
def test_judge_tells_true_from_complete(caption, true, complete):
    """A caption may leave something out and be true, or name all and be false."""
    judged = scenes.judge(caption, TWO)
    assert (judged.true, judged.complete) == (true, complete)


@example
def test_judge_names_the_mistakes():
    """Of all ways to understand a caption, the kindest is judged."""
    judged = scenes.judge("a small blue star to the left of a large red circle.", TWO)
    assert judged.mistakes == (
        "the small blue star is a small blue ring",
        "not so: the small blue star is left of the large red circle",
    )
    assert len(judged.facts) == 3


@example
def test_judge_finds_which_of_two_alike_is_meant():
    """Of three objects two look the same: an order is true if some of them fit."""
    ring = ("ring", "red", "small")
    scene = scenes.Scene(
        (
            thing(*ring, 0.2, 0.5),
            thing("star", "blue", "small", 0.5, 0.3),
            thing(*ring, 0.8, 0.7),
        )
    )
    order = "from left to right: a small red ring, a small {} and a small {}."
    assert scenes.judge(order.format("blue star", "red ring"), scene).true
    assert not scenes.judge(order.format("red ring", "blue star"), scene).true


@law
@hypothesis.settings(max_examples=40)
@hypothesis.given(scene=worlds, choice=st.randoms(use_true_random=False))
def test_judge_finds_one_wrong_word(scene, choice):
    """Another colour, size, shape, side or place, and a true caption is false."""
    attributes = [scenes.SIZES, scenes.COLOURS, scenes.SHAPES]
    sides = [("left", "right"), ("top", "bottom"), ("above", "below")]
    for caption in scenes.captions(scene):
        # "from left to left" is no order, and of two objects that look the same either
        # is left of the other.
        alike = len(set(scenes.parse(caption).objects)) < len(scene.objects)
        for family in attributes if "from" in caption or alike else attributes + sides:
            for word in re.finditer(r"[a-z]+", caption):
                if word[0] not in family:
                    continue
                other = choice.choice([w for w in family if w != word[0]])
                changed = caption[: word.start()] + other + caption[word.end() :]
                assert not scenes.judge(changed, scene).true, changed


@law
@hypothesis.given(seed=seeds, split=st.sampled_from(scenes.SPLITS))
def test_judge_finds_a_list_in_the_wrong_order(seed, split):
    """A list that is told backwards is false, unless it reads the same."""
    scene = scenes.sample(np.random.default_rng(seed), split, count=3)
    for start in ("from left to right: ", "from top to bottom: "):
        caption = next(c for c in scenes.captions(scene) if c.startswith(start))
        told = [str(described) for described in scenes.parse(caption).objects]
        first, second, third = (f"a {words}" for words in told[::-1])
        backwards = f"{start}{first}, {second} and {third}."
        assert scenes.judge(backwards, scene).true == (told == told[::-1])


@law
@hypothesis.given(scene=worlds)
def test_judge_finds_an_object_left_out_or_invented(scene):
    """Complete is: every object once."""
    (*_, caption) = scenes.captions(scene)
    if len(scene.objects) > 1:
        fewer = scenes.Scene(scene.objects[:-1])
        assert not scenes.judge(caption, fewer).true
        assert not scenes.judge(caption, fewer).complete
    spare = thing("ring", "red", x=0.99, y=0.99)
    more = scenes.Scene((*scene.objects, spare))
    judged = scenes.judge(caption, more)
    assert judged.true and not judged.complete


@law
def test_judge_accepts_either_place_at_a_border():
    """At x = 0.34 of the width a person may say left or centre, but not right."""
    scene = scenes.Scene((thing("star", "red", x=0.34, y=0.5),))
    said = {
        p: scenes.judge(f"a large red star at the {p}.", scene) for p in scenes.PLACES
    }
    assert {place for place, judged in said.items() if judged.true} == {
        "left",
        "centre",
    }


@example
@pytest.mark.parametrize(
    ("said", "right", "verdict"),
    [
        ("Red.", "red", True),
        ("2", "two", True),
        ("a red circle", "the red circle", True),
        ("at the top left", "top left", True),
        ("top", "top left", False),
        ("left top", "top left", False),
        ("red", "blue", False),
        ("", "no", False),
        ("yes no", "yes", False),
    ],
)
def test_judge_answer_forgives_only_form(said, right, verdict):
    """Capitals, articles, a period, digits: nothing that changes the meaning."""
    assert scenes.judge_answer(said, Question("any", "?", right)) == verdict
