"""The spec of refvlm/blocks/episodes.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.blocks import episodes
from refvlm.shapes import ShapeError

from ..spec import check_vjp, contract, derivative, example, law, oracle, random_arrays


@example
def test_to_episodes_keeps_neighbours_together():
    """Six contexts, two episodes: 0, 1, 2 and 3, 4, 5; not 0, 2, 4 and 1, 3, 5."""
    cut = episodes.to_episodes(np.arange(6.0).reshape(6, 1), 2)
    np.testing.assert_array_equal(cut[..., 0], [[0, 1, 2], [3, 4, 5]])


@law
@given(st.integers(1, 5), st.integers(0, 5), st.integers(1, 4))
def test_to_episodes_can_be_undone(count, steps, width):
    """Cut and joined, every context is in its place."""
    contexts = random_arrays(1)(count * steps, width)
    cut = episodes.to_episodes(contexts, count)
    assert cut.shape == (count, steps, width)
    np.testing.assert_array_equal(episodes.from_episodes(cut), contexts)


@law
@given(st.integers(1, 5), st.integers(1, 5))
def test_to_episodes_says_where_a_context_goes(count, steps):
    """Context b is step b mod T of episode b div T."""
    contexts = np.arange(float(count * steps))[:, None]
    cut = episodes.to_episodes(contexts, count)
    for place, context in enumerate(contexts):
        assert cut[place // steps, place % steps] == context


@oracle
def test_to_episodes_equals_torch(compare):
    """A reshape."""
    contexts = random_arrays(2)(12, 5)

    def reference(torch):
        return lambda contexts: contexts.reshape(4, 3, 5)

    compare(lambda each: episodes.to_episodes(each, 4), reference, contexts)


@derivative
def test_to_episodes_derivative():
    """The gradient is cut and joined as the contexts are."""
    check_vjp(lambda x: episodes.to_episodes(x, 3), random_arrays(3)(6, 2))
    check_vjp(episodes.from_episodes, random_arrays(4)(3, 2, 2))


@contract
def test_to_episodes_refuses_a_batch_that_does_not_divide():
    """Ten contexts do not make four episodes, and the message says what to do."""
    with pytest.raises(ShapeError, match="10 contexts do not make 4 episodes.*pad"):
        episodes.to_episodes(np.zeros((10, 3)), 4)


@contract
@pytest.mark.parametrize("count", [0, -1, 2.0, "4"])
def test_to_episodes_refuses_a_count_that_is_none(count):
    """Nothing is cut into no episodes."""
    with pytest.raises(ValueError, match="episodes must be a whole number of at least"):
        episodes.to_episodes(np.zeros((4, 3)), count)
