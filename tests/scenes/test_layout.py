"""Where objects may stand, even when there is hardly room."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from refvlm.scenes import layout

from ..spec import example, law
from .worlds import seeds


@example
def test_closest_distances_keep_one_colour_apart():
    """Two red objects may not touch; a red and a blue one may overlap a little."""
    least = layout.closest_distances(np.array([0.2, 0.2, 0.2]), ["red", "red", "blue"])
    assert least[0, 1] > 0.4 > least[0, 2] > 0.2


@law
@pytest.mark.parametrize("aspect", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
@hypothesis.settings(max_examples=15)
@hypothesis.given(seed=seeds, alike=st.booleans())
def test_place_objects_finds_room_for_the_largest(aspect, count, seed, alike):
    """Four objects of the largest radius and one colour fit into the flattest picture:
    inside, and apart on both axes."""
    radii = np.full(count, 26 / 128)
    colours = ["red"] * count if alike else ["red", "blue", "green", "pink"][:count]
    rng = np.random.default_rng(seed)
    places = layout.place_objects(rng, radii, colours, aspect)
    half = 26 / 128 / np.array([aspect**0.5, aspect**-0.5])
    assert (places >= half).all() and (places <= 1 - half).all()
    gaps = abs(places[:, None] - places) + np.eye(count)[..., None]
    assert (gaps >= 12 / 128 - 1e-9).all()
