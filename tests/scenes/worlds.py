"""What the tests of the scenes share."""

import itertools
import re

import numpy as np
from hypothesis import strategies as st

from refvlm import scenes

seeds = st.integers(0, 2**32 - 1)
splits = st.sampled_from(scenes.SPLITS)
worlds = st.builds(
    lambda seed, split: scenes.sample(np.random.default_rng(seed), split),
    seeds,
    splits,
)


def thing(shape, colour, size="large", x=0.5, y=0.5, **looks):
    """An object with its size's usual radius."""
    radius = {"large": 0.18, "small": 0.09}[size]
    return scenes.Object(shape, colour, size, x, y, radius, **looks)


def mentions(text):
    """Every (colour, shape) that stand side by side in a text."""
    words = re.findall(r"[a-z]+", text.lower())
    singular = {f"{shape}s": shape for shape in scenes.SHAPES} | {"crosses": "cross"}
    words = [singular.get(word, word) for word in words]
    return {
        pair
        for pair in itertools.pairwise(words)
        if pair[0] in scenes.COLOURS and pair[1] in scenes.SHAPES
    }
