"""The small models that chapters make: drawn the same on every machine, and taught."""

import hypothesis
import numpy as np
from hypothesis import strategies as st

from refvlm import text
from refvlm.checkpoint import Weights
from refvlm_book import tiny

from ..spec import law

TOKENIZER = text.Tokenizer(tiny.tokenizer())


@law
@hypothesis.given(st.text(st.characters(codec="utf-8")))
def test_tokenizer_spells_every_text(words):
    """400 tokens are few, but all bytes are among them, so nothing is unknown."""
    assert len(TOKENIZER) == 400
    assert TOKENIZER.decode(TOKENIZER.encode(words, markers=False)) == words


@law
def test_random_weights_keep_the_size_of_a_signal():
    """A matrix gives back the variance that it was given, whatever its width."""
    drawn = tiny.random_weights({"wide.weight": (300, 3000), "bias": (4,)})
    signal = np.random.RandomState(1).standard_normal((3000, 50)).astype(np.float32)
    assert drawn["bias"].dtype == np.float32
    assert abs((drawn["wide.weight"] @ signal).std() - 1) < 0.05


@law
def test_descend_finds_the_bottom_of_a_bowl():
    """Adam walks to the minimum, and moves only what may be trained."""
    start = Weights({"x": np.array([3.0, -2.0]), "fixed": np.array([1.0, 1.0])})

    def bowl(weights):
        return ((weights["x"] - weights["fixed"]) ** 2).sum()

    end, losses = tiny.descend(lambda step: bowl, start, 300, 0.1, trainable=["x"])
    np.testing.assert_allclose(end["x"], [1, 1], atol=1e-2)
    assert end["fixed"] is start["fixed"]
    assert losses[0] == 13 and losses[-1] < 1e-3
