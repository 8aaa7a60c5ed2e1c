"""The spec of refvlm/kernels/heads.py."""

import tracemalloc

import numpy as np
import pytest

from refvlm import ops
from refvlm.kernels import heads as kernel
from refvlm.kernels.heads import FEWEST_QUERIES, SCORES, Heads

from ..spec import assert_close, house, law, random_arrays

LAYOUTS = {  # the leading axes of queries and of keys, and whether heads share
    "none": ((), (), False),
    "a batch of heads": ((2, 3), (2, 3), False),
    "heads that share": ((2, 6), (2, 2), True),
    "heads that all share": ((3,), (1,), True),
}


def arrays(lead, of_keys, queries=5, keys=7):
    draw = random_arrays(31)
    return draw(*lead, queries, 4), draw(*of_keys, keys, 4), draw(*of_keys, keys, 2)


@law
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_heads_are_views_of_what_came(layout):
    """No query, key or value is copied, and no key is repeated for those who share it;
    what was split is merged to what it was."""
    query, key, value = arrays(*layout[:2])
    heads = Heads(query, key, value, gqa=layout[2])
    for ours, theirs in ((heads.query, query), (heads.key, key), (heads.value, value)):
        assert np.shares_memory(ours, theirs) and ours.size == theirs.size
    np.testing.assert_array_equal(heads.merge(heads.split(query)), query)


@law
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_heads_score_their_own_keys(layout):
    """The scores of all pieces are the scaled products of queries and repeated keys."""
    query, key, value = arrays(*layout[:2])
    heads = Heads(query, key, value, scale=0.5, gqa=layout[2])
    rows = slice(0, query.shape[-2])
    scores = heads.merge(
        heads.scores(slice(0, heads.count), rows, slice(0, key.shape[-2]))
    )
    if layout[2]:
        key = np.repeat(key, query.shape[-3] // key.shape[-3], axis=-3)
    assert_close(scores, query @ key.mT * 0.5, 1e-15)


@law
@pytest.mark.parametrize("queries, keys", [(1, 10**6), (300, 70), (5000, 5000)])
def test_heads_take_blocks_that_fit_a_cache(queries, keys):
    """A block holds as many scores as were planned for, or the fewest queries that a
    product wants; and every query is in one block."""
    query, key = (np.broadcast_to(0.0, (2, length, 1)) for length in (queries, keys))
    heads = Heads(query, key, key)
    blocks = heads.rows()
    sizes = [block.stop - block.start for block in blocks]
    assert max(sizes) <= FEWEST_QUERIES or max(sizes) * keys <= SCORES
    assert [i for block in blocks for i in range(queries)[block]] == list(
        range(queries)
    )


@law
@pytest.mark.parametrize(
    "length, width, pieces", [(64, 8, 1), (64, 64, 1), (64, 65, 3), (600, 1, 8)]
)
def test_heads_have_a_piece_for_each_core_where_blas_would_share_a_product(
    length, width, pieces, monkeypatch
):
    """Its threads wait in a loop afterwards, on the cores of what comes next; small
    products stay on one core, large ones are cut to fit a cache."""
    monkeypatch.setattr(kernel, "workers", lambda: 3)
    heads = Heads(*(np.broadcast_to(0.0, (8, length, width)) for _ in range(3)))
    found = heads.pieces()
    assert len(found) == pieces
    assert [i for piece in found for i in range(8)[piece]] == list(range(8))


@house
def test_heads_that_share_hold_their_keys_once():
    """Eight query heads at one key head: a token's attention to 16,384 others needs
    less than half of the keys again, where repeated keys would be eight times them."""
    query = np.ones((8, 1, 64), np.float32)
    key = np.ones((1, 16384, 64), np.float32)
    tracemalloc.start()
    try:
        ops.scaled_dot_product_attention(query, key, key, enable_gqa=True)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < key.nbytes / 2
