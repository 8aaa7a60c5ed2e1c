"""The spec of refvlm/analysis/modality_gap.py."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import refvlm
from refvlm import scenes
from refvlm.analysis.modality_gap import gaps_by_chance, modality_gap, moved
from refvlm.checkpoint import Weights
from refvlm.models import clip as clip_model
from refvlm.pretrained import CLIP, shipped_model
from refvlm.scenes.pairing import caption, different
from refvlm.shapes import ShapeError
from refvlm.train.initialization import initial_weights

from ..spec import assert_close, contract, example, law, oracle, random_arrays


def cone(axis, angle, points, seed=0):
    """Directions around an axis at one angle, balanced: their mean is on the axis."""
    draw = random_arrays(seed)(points, len(axis))
    aside = draw - np.outer(draw @ axis, axis)
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    aside = np.concatenate([aside, -aside])
    return math.cos(angle) * axis + math.sin(angle) * aside


def axes(between):
    """Two directions of five dimensions, `between` apart."""
    a = np.zeros(5)
    b = np.zeros(5)
    a[0], b[0], b[1] = 1.0, math.cos(between), math.sin(between)
    return a, b


@example
def test_modality_gap_of_two_opposite_crowds():
    """Every picture up, every text down: two apart, and each cone a line."""
    up = np.array([[0.0, 5.0], [0.0, 1.0]])
    gap = modality_gap(up, -up[:1])
    assert (gap.length, gap.pictures, gap.texts) == (2.0, 1.0, 1.0)


@law
def test_modality_gap_does_not_know_lengths_nor_order():
    """It is about directions, and about crowds."""
    draw = random_arrays(1)
    images, texts = draw(6, 4), draw(5, 4)
    stretched = images[::-1] * np.arange(1.0, 7.0)[:, None]
    assert_close(
        modality_gap(stretched, texts).vector, modality_gap(images, texts).vector
    )
    turned = modality_gap(texts, images)
    assert_close(turned.vector, -modality_gap(images, texts).vector)


@law
def test_modality_gap_of_a_crowd_with_itself_is_none():
    """The same points, or the same means."""
    images = random_arrays(2)(6, 4)
    assert modality_gap(images, images).length == 0.0
    assert modality_gap(images, np.tile(images, (3, 1))).length < 1e-15


@law
def test_modality_gap_leaves_the_order_of_texts_for_each_picture_free():
    """A vector added to all texts changes no picture's order of them: the loss, which
    asks for that order alone, does not see the gap."""
    draw = random_arrays(3)
    images, texts, shift = draw(6, 4), draw(5, 4), draw(4)
    before, after = images @ texts.T, images @ (texts + shift).T
    np.testing.assert_array_equal(before.argsort(axis=1), after.argsort(axis=1))


@oracle
@given(
    st.floats(0.1, 1.4),
    st.floats(0.1, 1.4),
    st.floats(0.0, math.pi),
)
def test_modality_gap_equals_that_of_two_cones(first, second, between):
    """The mean of a cone of angle a is cos a along its axis; the gap is the third side
    of a triangle."""
    a, b = axes(between)
    gap = modality_gap(cone(a, first, 8, 4) * 3, cone(b, second, 5, 5))
    p, t = math.cos(first), math.cos(second)
    assert abs(gap.pictures - p) < 1e-12 and abs(gap.texts - t) < 1e-12
    squared = p * p + t * t - 2 * p * t * math.cos(between)
    assert abs(gap.length**2 - squared) < 1e-12
    np.testing.assert_allclose(gap.vector, p * a - t * b, atol=1e-12)


@law
def test_moved_closes_and_widens_the_gap():
    """All the way it is nearly gone, nothing moves it not, and back makes it larger."""
    a, b = axes(1.0)
    images, texts = cone(a, 0.5, 8, 6), cone(b, 0.4, 8, 7)
    lengths = [
        modality_gap(*moved(images, texts, share)).length for share in (-0.5, 0, 0.5, 1)
    ]
    assert sorted(lengths, reverse=True) == lengths
    assert lengths[3] < 0.1 * lengths[1]
    assert_close(moved(images, texts, 0)[0], images)


@law
def test_gaps_by_chance_are_those_of_sides_that_were_drawn():
    """With one pair there are two coins and one length; with sides that differ in all
    they say, the true gap is beyond every one that chance makes."""
    draw = random_arrays(8)
    images, texts = draw(1, 4), draw(1, 4)
    rng = np.random.default_rng(0)
    alone = gaps_by_chance(images, texts, rng, draws=5)
    assert_close(alone, np.full(5, modality_gap(images, texts).length))
    a, b = axes(1.0)
    images, texts = cone(a, 0.5, 20, 9), cone(b, 0.4, 20, 10)
    chance = gaps_by_chance(images, texts, rng)
    assert chance.max() < 0.5 * modality_gap(images, texts).length


def seen_and_read(clip, seed):
    rng = np.random.default_rng(seed)
    batch = different(rng, 60)
    pictures, texts = map(scenes.draw, batch), [caption(scene, rng) for scene in batch]
    return clip.image_features([*pictures]), clip.text_features(texts)


@law
@pytest.mark.parametrize("seed", range(3))
def test_clip_tiny_has_kept_little_of_its_gap(seed):
    """Fresh towers of its kind stand about one apart; the trained ones a fifth of that,
    at most, and yet farther than chance would put them."""
    clip = refvlm.load(shipped_model("clip-tiny"))
    drawn = initial_weights(
        clip_model.expected_shapes(clip.config), np.random.default_rng(seed)
    )
    drawn[clip_model.LOGIT_SCALE] = np.float32(2.66) * np.ones((), np.float32)
    fresh = CLIP(clip.config, Weights(drawn), clip.directory)
    trained = seen_and_read(clip, seed)
    length = modality_gap(*trained).length
    assert modality_gap(*seen_and_read(fresh, seed)).length > 5 * length
    chance = gaps_by_chance(*trained, np.random.default_rng(seed))
    assert length > 1.5 * chance.mean()


@contract
def test_modality_gap_refuses_what_has_no_mean():
    """Nobody to average, or spaces of two sizes."""
    with pytest.raises(ValueError, match="0 pictures and 3 texts: a mean needs"):
        modality_gap(np.zeros((0, 4)), np.ones((3, 4)))
    with pytest.raises(ShapeError, match=r"modality_gap: texts is \(3, 5\)"):
        modality_gap(np.ones((2, 4)), np.ones((3, 5)))
    rng = np.random.default_rng(0)
    with pytest.raises(ShapeError, match=r"gaps_by_chance: texts is \(3, 4\)"):
        gaps_by_chance(np.ones((2, 4)), np.ones((3, 4)), rng)
    with pytest.raises(ValueError, match="draws must be a whole number of at least 1"):
        gaps_by_chance(np.ones((2, 4)), np.ones((2, 4)), rng, draws=0)
