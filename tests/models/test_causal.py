"""The spec of refvlm/models/causal.py."""

import numpy as np
import pytest

from refvlm.blocks.kv_cache import ContextError, KVCache, Slots, TapedCache
from refvlm.models import causal
from refvlm.models.gpt2 import GPT2Config

from ..spec import contract, example, law


@example
def test_places_without_padding_are_counted_from_zero():
    """No mask is needed: plain causality hides the future."""
    positions, mask = causal.places(3)
    np.testing.assert_array_equal(positions, [0, 1, 2])
    assert mask is None


@example
def test_places_behind_a_cache_continue_it():
    """Two tokens after three: each sees the three, and itself."""
    cache = KVCache(1, 1, 1, 5, 2)
    cache.advance(3)
    positions, mask = causal.places(2, cache)
    np.testing.assert_array_equal(positions, [3, 4])
    np.testing.assert_array_equal(mask[0, 0], [[1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])


@example
def test_places_of_padded_rows_count_tokens():
    """The first row pads two on the left; its first token stands at 0, as alone."""
    padding = np.array([[0, 0, 1, 1], [1, 1, 1, 1]])
    positions, mask = causal.places(4, attention_mask=padding)
    np.testing.assert_array_equal(positions, [[0, 0, 0, 1], [0, 1, 2, 3]])
    np.testing.assert_array_equal(
        mask[0, 0], [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 1]]
    )


@example
def test_places_of_slots_come_first_and_cost_no_position():
    """A slot is seen by everyone, or by its bias; the text is counted without it."""
    cache = KVCache(1, 2, 1, 5, 2)
    cache.advance(1)
    slot = np.zeros((1, 2, 1, 1, 2))
    cache.slots = Slots(slot, slot)
    positions, mask = causal.places(2, cache)
    np.testing.assert_array_equal(positions, [1, 2])
    np.testing.assert_array_equal(mask[1, 0], [[1, 1, 1, 0], [1, 1, 1, 1]])
    cache.slots = Slots(slot, slot, np.array([[-0.5], [-2.0]]))
    _, mask = causal.places(2, cache)
    far = -np.inf
    np.testing.assert_array_equal(mask[1, 0], [[-2, 0, 0, far], [-2, 0, 0, 0]])


@law
def test_places_of_slots_differ_by_token_where_texts_are_packed():
    """Text i sees slot i: the slots' bias has an axis for the tokens."""
    cache = TapedCache()
    slot, far = np.zeros((1, 1, 1, 2, 2)), -np.inf
    cache.slots = Slots(slot, slot, np.array([[[0.0, far], [far, 0.0]]]))
    sees = np.eye(2, dtype=bool)[None]
    packing = causal.Packing(np.array([[4, 9]]), sees)
    positions, mask = causal.places(2, cache, packing=packing)
    np.testing.assert_array_equal(positions, [[4, 9]])
    np.testing.assert_array_equal(mask[0, 0], [[0, far, 0, far], [far, 0, far, 0]])


@law
def test_places_by_a_cache_are_the_end_of_those_without():
    """Whatever was padded before, the next token stands after those that count."""
    padding = np.array([[0, 1, 1, 1, 1], [0, 0, 0, 1, 1]])
    whole, sees = causal.places(5, attention_mask=padding)
    cache = KVCache(1, 2, 1, 5, 2)
    cache.advance(3)
    positions, mask = causal.places(2, cache, padding)
    np.testing.assert_array_equal(positions, whole[:, 3:])
    np.testing.assert_array_equal(mask, sees[:, :, 3:])


@law
@pytest.mark.parametrize("mask", [np.ones((2, 4)), np.ones((2, 4), bool)])
def test_places_of_a_mask_that_hides_nothing_are_those_of_none(mask):
    """So that a batch without padding costs what it did, to the bit."""
    positions, sees = causal.places(4, attention_mask=mask)
    np.testing.assert_array_equal(positions, np.arange(4))
    assert sees is None


@contract
def test_check_context_says_how_many_fit():
    """And what to do."""
    causal.check_context(GPT2Config(), 1024)
    with pytest.raises(ContextError, match="1025 tokens .* context of 1024: shorten"):
        causal.check_context(GPT2Config(), 1025)


@contract
@pytest.mark.parametrize("last", [0, -1, 10, 1.5, True])
def test_check_last_wants_one_to_all(last):
    """A slice would take what is there."""
    with pytest.raises(ValueError, match="gpt2: .*last"):
        causal.check_last("gpt2", last, 9)
