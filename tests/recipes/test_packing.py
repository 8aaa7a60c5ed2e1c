"""The spec of refvlm/recipes/packing.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.checkpoint import Weights
from refvlm.models import qwen2
from refvlm.objectives.language import IGNORE
from refvlm.recipes.packing import Text, pack

from ..models.test_qwen2 import SMALL, embed
from ..spec import assert_close, contract, example, law
from ..weights import random_weights

tokens = st.lists(st.integers(0, 36), min_size=1, max_size=4)
weights = st.sampled_from([0.5, 1.0, 3.0])
texts = st.lists(st.builds(Text, tokens, tokens, weights), min_size=1, max_size=4)


@example
def test_pack_draws_the_picture_of_its_docstring():
    """Two texts behind a prefix of one: each sees the prefix and itself."""
    sees = pack([7], [[Text([1], [2]), Text([3], [])]]).layout.sees[0]
    assert sees.astype(int).tolist() == [
        [1, 0, 0, 0],
        [1, 1, 0, 0],
        [1, 1, 1, 0],
        [1, 0, 0, 1],
    ]


@law
@given(tokens, st.lists(texts, min_size=1, max_size=3))
def test_pack_hides_texts_from_one_another(prefix, rows):
    """The decoder's states of a packed text are those of the text alone."""
    weights = Weights(random_weights(qwen2.expected_shapes(SMALL), seed=5))
    packed = pack(prefix, rows)
    together = qwen2.qwen2(
        embed(weights, packed.ids), weights, SMALL, packing=packed.layout
    )
    assert np.isfinite(together).all()
    for row, some in enumerate(rows):
        start = len(prefix)
        for text in some:
            own = [*text.question, *text.answer]
            alone = embed(weights, np.array([[*prefix, *own]]))
            alone = qwen2.qwen2(alone, weights, SMALL)[0, len(prefix) :]
            assert_close(together[row, start : start + len(own)], alone, 1e-9)
            start += len(own)


@law
@given(tokens, st.lists(texts, min_size=1, max_size=3))
def test_pack_labels_the_answers_and_nothing_else(prefix, rows):
    """Read off where a label stands, the labels are the answers in their order."""
    packed = pack(prefix, rows)
    for row, some in enumerate(rows):
        answers = [token for text in some for token in text.answer]
        assert packed.labels[row][packed.labels[row] != IGNORE].tolist() == answers
        at = packed.labels[row] != IGNORE
        assert packed.ids[row][at].tolist() == answers
        counts = [text.weight for text in some for _ in text.answer]
        assert packed.weights[row][at].tolist() == counts
        assert not packed.weights[row][~at].any()


@law
@pytest.mark.parametrize("sequence", [tuple, np.array], ids=["tuple", "array"])
def test_pack_takes_any_sequence_of_ids(sequence):
    """Ids come as lists, tuples or arrays; the row is the same."""
    expected = pack([7], [[Text([1, 4], [2]), Text([3], [])]])
    texts = [
        Text(sequence([1, 4]), sequence([2])),
        Text(sequence([3]), sequence([])),
    ]
    packed = pack(sequence([7]), [texts])
    np.testing.assert_array_equal(packed.ids, expected.ids)
    np.testing.assert_array_equal(packed.labels, expected.labels)


@contract
def test_pack_refuses_an_answer_to_nothing():
    """Without a question, a text's first token would be asked of its neighbour."""
    with pytest.raises(ValueError, match="text 2 of row 0 has no question"):
        pack([7], [[Text([1], [2]), Text([], [3])]])
