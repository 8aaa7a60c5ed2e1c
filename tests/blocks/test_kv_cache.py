"""The spec of refvlm/blocks/kv_cache.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import value_and_grad
from refvlm.blocks.kv_cache import (
    ContextError,
    KeysAndValues,
    KVCache,
    LookingCache,
    Slots,
    TapedCache,
)

from ..spec import contract, example, law, random_arrays


@example
def test_kv_cache_of_qwen2_takes_12288_numbers_a_token():
    """24 layers, 2 key heads of 64, keys and values: 6,144 numbers, 24,576 bytes in
    float32 and half of it in float16."""
    cache = KVCache(layers=24, batch=1, heads=2, capacity=1, head_dim=64)
    assert cache.nbytes == 24576
    half = KVCache(24, 1, 2, 1, 64, dtype=np.float16)
    assert half.nbytes == 12288


@law
def test_kv_cache_gives_back_what_was_stored():
    """Piece by piece, the views hold all that came before, in order."""
    draw = random_arrays(0)
    keys, values = draw(2, 3, 7, 4), draw(2, 3, 7, 4)
    cache = KVCache(2, 2, 3, 7, 4, np.float64)
    for start, stop in ((0, 4), (4, 5), (5, 7)):
        for layer in range(2):
            sign = 1 - 2 * layer
            seen = cache.store(
                layer, sign * keys[:, :, start:stop], sign * values[:, :, start:stop]
            )
            np.testing.assert_array_equal(seen[0], sign * keys[:, :, :stop])
            np.testing.assert_array_equal(seen[1], sign * values[:, :, :stop])
        cache.advance(stop - start)
    assert cache.length == cache.capacity == 7


@law
def test_kv_cache_hands_out_views():
    """Reading the cache copies nothing."""
    cache = KVCache(1, 1, 1, 8, 2)
    keys, values = cache.store(0, np.ones((1, 1, 3, 2)), np.ones((1, 1, 3, 2)))
    assert np.shares_memory(keys, cache.keys)
    assert np.shares_memory(values, cache.values)


def filled(batch):
    """A cache of 2 layers that holds 3 tokens of 5, and what it holds."""
    draw = random_arrays(0)
    keys, values = draw(2, batch, 1, 3, 2), draw(2, batch, 1, 3, 2)
    cache = KVCache(2, batch, 1, 5, 2, np.float64)
    for layer in range(2):
        cache.store(layer, keys[layer], values[layer])
    cache.advance(3)
    return cache, keys, values


@law
@pytest.mark.parametrize(
    "rows", [[0, 1, 2], [2, 0, 1], [1, 1, 0], [2, 2, 2], [0, 0, 1, 1, 2, 2], [1], []]
)
def test_kv_cache_goes_on_from_other_rows(rows):
    """Each row from one that was there: the same twice, another never, more or fewer
    than there were; and what follows is stored behind."""
    cache, keys, values = filled(3)
    cache.reorder(np.array(rows, int))
    new = random_arrays(1)(len(rows), 1, 2, 2)
    for layer in range(2):
        seen = cache.store(layer, new, -new)
        whole = np.concatenate([keys[layer][rows], new], axis=2)
        np.testing.assert_array_equal(seen[0], whole)
        whole = np.concatenate([values[layer][rows], -new], axis=2)
        np.testing.assert_array_equal(seen[1], whole)
    assert (cache.length, cache.capacity) == (3, 5)
    assert cache.keys.dtype == np.float64


@law
def test_kv_cache_reorders_in_its_place():
    """As many rows as before need no room of their own."""
    cache, _, _ = filled(3)
    keys, values = cache.keys, cache.values
    cache.reorder(np.array([0, 2, 1]))
    assert cache.keys is keys and cache.values is values


@law
def test_looking_cache_takes_its_pictures_along():
    """A row that goes on from another has that one's picture; a layer that does not
    look has none."""
    pictures = random_arrays(2)(2, 3, 4)
    cache = LookingCache(2, 2, 1, 5, 2, np.float64)
    cache.reorder(np.array([1, 0]))
    assert cache.memory is None
    cache.memory = [None, KeysAndValues(pictures, -pictures)]
    cache.reorder(np.array([1, 1, 0]))
    assert cache.keys.shape[1] == 3 and cache.memory[0] is None
    for held, sign in zip(cache.memory[1], (1, -1)):
        np.testing.assert_array_equal(held, sign * pictures[[1, 1, 0]])


@contract
def test_kv_cache_refuses_more_than_its_capacity():
    """The message says how many tokens there are and how many fit."""
    cache = KVCache(1, 1, 1, 4, 2)
    with pytest.raises(ContextError, match="5 tokens do not fit .* made for 4"):
        cache.store(0, np.zeros((1, 1, 5, 2)), np.zeros((1, 1, 5, 2)))


@contract
@pytest.mark.parametrize("capacity", [1 << 40, 1 << 62, 1 << 80])
def test_kv_cache_says_when_it_does_not_fit_into_memory(capacity):
    """A context beyond any memory is asked for in tokens, so it is refused in them."""
    message = f"1 x {capacity} tokens does not fit .* or beams"
    with pytest.raises(ContextError, match=message):
        KVCache(24, 1, 2, capacity, 64)


@contract
@pytest.mark.parametrize(
    "rows, message",
    [
        ([0, 2], r"rows must be from 0 to 1: \[0, 2\]"),
        ([-1, 0], r"rows must be from 0 to 1: \[-1, 0\]"),
        ([0.0, 1.0], r"rows must be whole numbers .* not float64 \(2,\)"),
        ([[0, 1]], r"rows must be whole numbers .* not int64 \(1, 2\)"),
        ([True, False], r"rows must be whole numbers .* not bool"),
    ],
)
def test_kv_cache_goes_on_from_no_row_that_was_not_there(rows, message):
    """-1 would be the last row, and booleans would choose."""
    with pytest.raises(ValueError, match=message):
        filled(2)[0].reorder(rows)


@law
@pytest.mark.parametrize("heads", [2, 6])
def test_slots_stand_before_what_is_kept(heads):
    """From when they are set; a key head is repeated where slots have one for each
    query head that shares it."""
    draw = random_arrays(0)
    keys, values = draw(1, 3, 2, 5, 4), draw(1, 3, 2, 5, 4)
    cache = KVCache(1, 3, 2, 5, 4, np.float64)
    cache.store(0, keys[0, :, :, :3], values[0, :, :, :3])
    cache.advance(3)
    slots = cache.slots = Slots(draw(1, 3, heads, 1, 4), draw(1, 3, heads, 1, 4))
    seen = cache.store(0, keys[0, :, :, 3:], values[0, :, :, 3:])
    for found, slot, own in zip(seen, slots, (keys, values)):
        np.testing.assert_array_equal(found[:, :, :1], slot[0])
        for head in range(heads):
            shared = own[0][:, head * 2 // heads]
            np.testing.assert_array_equal(found[:, head, 1:], shared)


@example
def test_slots_beside_a_mask_say_of_each_token_which_slot_it_hears():
    """Two slots before three keys: for each of two tokens its own biases stand in
    front, as they were given, and its own mask behind."""
    keys, far = np.zeros((1, 2, 1, 2, 4)), -np.inf
    bias = np.array([[[-0.5, 0.0], [far, -2.0]], [[-3.0, -4.0], [0.0, far]]])
    seen = np.array([[True, True, False], [False, True, True]])
    found = Slots(keys, keys, bias).beside(seen[None, None])
    own = np.array([[0.0, 0.0, far], [far, 0.0, 0.0]])
    assert found.shape == (2, 1, 2, 5)
    for row, mask in zip(bias, found):
        np.testing.assert_array_equal(mask[0], np.concatenate([row, own], axis=1))


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("heads", [1, 3])
def test_slots_beside_a_mask_leave_it_as_it_is(dtype, heads):
    """Booleans stay booleans where nothing is in between, additive masks stay what
    they are, of one head or of each; a bias (b, s) is that of every token."""
    draw = random_arrays(8)
    keys = np.zeros((1, 2, 1, 2, 4))
    seen = draw(2, heads, 4, 3) > 0
    plain = Slots(keys, keys).beside(seen)
    assert plain.dtype == bool and plain[..., :2].all()
    np.testing.assert_array_equal(plain[..., 2:], seen)
    added, bias = draw(2, heads, 4, 3).astype(dtype), draw(2, 2).astype(dtype)
    for given, own in ((added, added), (seen, ops.additive_mask(seen, dtype))):
        gated = Slots(keys, keys, bias).beside(given)
        assert gated.dtype == dtype
        wanted = np.broadcast_to(bias[:, None, None], (2, heads, 4, 2))
        np.testing.assert_array_equal(gated[..., :2], wanted)
        np.testing.assert_array_equal(gated[..., 2:], own)
    ungated = Slots(keys, keys).beside(added)
    assert ungated.dtype == dtype and not ungated[..., :2].any()
    np.testing.assert_array_equal(ungated[..., 2:], added)


@law
def test_slots_go_with_their_rows():
    """A beam that goes on from another takes its memory along."""
    draw = random_arrays(0)
    cache = KVCache(2, 3, 1, 4, 2, np.float64)
    slots = cache.slots = Slots(draw(2, 3, 1, 1, 2), draw(2, 3, 1, 1, 2), draw(3, 1))
    for rows in ([2, 0, 1], [1, 1], [0, 1, 1, 0]):
        cache.reorder(np.array(rows))
        slots = Slots(slots.keys[:, rows], slots.values[:, rows], slots.bias[rows])
        for found, wanted in zip(cache.slots, slots):
            np.testing.assert_array_equal(found, wanted)


@law
def test_taped_cache_gives_what_a_cache_gives_and_keeps_derivatives():
    """Piece by piece; a loss of what is read goes back to what was stored first."""
    draw = random_arrays(0)
    keys, values = draw(2, 3, 5, 4), draw(2, 3, 5, 4)
    plain, taped = KVCache(1, 2, 3, 5, 4, np.float64), TapedCache()
    for start, stop in ((0, 3), (3, 4), (4, 5)):
        some = keys[:, :, start:stop], values[:, :, start:stop]
        for found, wanted in zip(taped.store(0, *some), plain.store(0, *some)):
            np.testing.assert_array_equal(found, wanted)
        plain.advance(stop - start)
        taped.advance(stop - start)
    assert taped.length == plain.length == 5

    def loss(first):
        cache = TapedCache()
        cache.store(0, first, first * first)
        seen_keys, seen_values = cache.store(0, keys, values)
        return (seen_keys * seen_values).sum()

    first = draw(2, 3, 1, 4)
    _, gradient = value_and_grad(loss)(first)
    np.testing.assert_allclose(gradient, 3 * first**2, rtol=1e-12)
