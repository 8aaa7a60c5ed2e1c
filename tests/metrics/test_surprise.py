"""The spec of refvlm/metrics/surprise.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.metrics.surprise import perplexity, surprise

from ..spec import assert_close, contract, example, law

TABLE = np.random.RandomState(3).randn(5, 5)


def by_the_last(ids):
    """Scores that depend on one token alone, so that no context is ever too short."""
    return TABLE[ids]


@example
def test_of_two_equal_tokens_each_surprises_by_log_2():
    """Whatever comes, the model thought it a coin's throw."""
    nats = surprise(lambda ids: np.zeros((*ids.shape, 2)), np.array([0, 1, 1, 0]), 8)
    assert_close(nats, np.log([2.0, 2.0, 2.0]))


@law
@given(st.lists(st.integers(0, 4), min_size=2, max_size=40), st.integers(1, 9))
def test_each_token_counts_once_whatever_the_context(ids, context):
    """Of a model that looks one token back, windows change nothing."""
    ids = np.array(ids)
    whole = -np.log(ops.softmax(TABLE))[ids[:-1], ids[1:]]
    assert_close(surprise(by_the_last, ids, context), whole)


@law
@given(st.integers(2, 60), st.integers(1, 12))
def test_windows_fit_the_context_and_reach_back_by_half(count, context):
    """No window is longer than the context; behind the first, each token is told from
    more than half a context."""
    told_from = []

    def watching(ids):
        assert 1 <= ids.shape[1] <= context
        told_from.append((int(ids[0, 0]), ids.shape[1]))
        return np.zeros((*ids.shape, count))

    known, steps = 1, []
    nats = surprise(watching, np.arange(count), context, lambda *at: steps.append(at))
    assert len(nats) == count - 1 and steps[-1] == (count, count)
    for start, length in told_from:
        assert start == 0 or known - start > context // 2
        known = start + length + 1
    assert known == count


@law
def test_perplexity_is_in_float64_and_has_no_warning():
    """The mean of many halves is not summed in half; what no float holds is inf."""
    assert perplexity(np.full(5000, 2.0, np.float16)) == np.exp(2.0)
    assert perplexity(np.full(3, 1000.0)) == np.inf


@contract
@pytest.mark.parametrize("ids", [[], [3]])
def test_a_single_token_surprises_nobody(ids):
    """A mean of nothing would be NaN."""
    with pytest.raises(ValueError, match="one token, or none.*give more text"):
        surprise(by_the_last, np.array(ids, int), 4)
