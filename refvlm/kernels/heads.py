"""Heads: the arrays of an attention, laid out so that no head repeats its keys.

Whatever axes came before (batch, heads), they become one list of n key heads; the
query heads that share a key head (grouped queries) stand together as its group.
Pieces of that list are worked on side by side, a block of queries at a time, so
that a block's scores stay in cache and the whole of them never exists. Keys and masks
that broadcast over a batch or over heads are repeated for each of these.
"""

from __future__ import annotations

import math

import numpy as np

from ..parallel import blocks, workers

SCORES = 1 << 18  # a piece at a time: 1 MB of float32, about a core's cache
SHARED_BY_BLAS = 1 << 18  # multiplications: larger products use its own threads
FEWEST_QUERIES = 32  # in a block: matrix products of fewer rows are slow
MASKED_QUERIES = 64  # in a block under a mask: neighbours see much the same keys


class Heads:
    """query (n, group, q, d), key (n, k, d), value (n, k, e) and what may be seen."""

    def __init__(
        self, query, key, value, attn_mask=None, is_causal=False, scale=None, gqa=False
    ):
        self.scale = 1 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
        self.lead, self.group = _leading_axes(query, key, value, gqa)
        self.merged = (*self.lead[:-1], *(h * self.group for h in self.lead[-1:]))
        self.count = math.prod(self.lead)
        self.queries, self.keys = query.shape[-2], key.shape[-2]
        self.query = self.split(query)
        self.key, self.value = self._shared(key), self._shared(value)
        self.is_causal = is_causal
        self.bias = self.hidden = None
        if attn_mask is not None and attn_mask.dtype == bool:
            self.hidden = self.of_scores(~attn_mask)
        elif attn_mask is not None:
            self.bias = self.of_scores(attn_mask)
        hides = is_causal or self.hidden is not None
        self.skips = hides and _are_finite(query, key, value)

    def split(self, array):
        """(..., heads, a, b) -> (n, group, a, b), the group 1 where heads agree."""
        *lead, a, b = array.shape
        lead.append(1)
        if self.group > 1 and len(lead) > 1 and lead[-2] > 1:
            lead[-2:] = lead[-2] // self.group, self.group
        array = array.reshape(*lead, a, b)
        if math.prod(lead[:-1]) > 1:
            array = _spread(array, (*self.lead, *array.shape[-3:]))
        array = array.reshape(-1, *array.shape[-3:])
        return _spread(array, (self.count, *array.shape[1:]))

    def merge(self, array):
        """(n, group, a, b) -> (..., heads, a, b)."""
        return array.reshape(*self.merged, *array.shape[-2:])

    def of_scores(self, mask):
        """A mask that broadcasts to the scores, as a view (n, group, q, k)."""
        mask = mask.reshape((1,) * (2 - mask.ndim) + mask.shape)
        target = (self.count, self.group, self.queries, self.keys)
        return _spread(self.split(mask), target)

    def _shared(self, array):
        """(..., key heads, k, c) -> (n, k, c)."""
        array = _spread(array, (*self.lead, *array.shape[-2:]))
        return array.reshape(self.count, *array.shape[-2:])

    def unshare(self, array):
        """(n, k, c) -> (..., key heads, k, c): `_shared` undone."""
        return array.reshape(*self.lead, *array.shape[-2:])

    def pieces(self):
        """Slices of the heads, each the work of one core.

        Where a head's product is one that BLAS shares by itself, every core gets a
        piece: BLAS's threads wait in a loop after it, and who comes next would have to
        share the cores with them.
        """
        scores_of_one = self.group * self.queries * self.keys
        fit = max(1, SCORES // scores_of_one)
        if scores_of_one * self.query.shape[-1] > SHARED_BY_BLAS:
            fit = min(fit, -(-self.count // workers()))
        return blocks(self.count, fit)

    def rows(self):
        """Slices of the queries, a block of them at a time."""
        fit = SCORES // (self.group * self.keys)
        if self.hidden is not None:
            fit = min(fit, MASKED_QUERIES)
        return blocks(self.queries, max(fit, FEWEST_QUERIES))

    def visible(self, piece, rows):
        """The keys that this block of queries may look at: a slice, or their numbers.
        What none of them may see is skipped, unless a weight of 0 times it is not 0."""
        if self.is_causal and self.skips:
            return slice(0, min(rows.stop, self.keys))
        if self.hidden is None or self.is_causal or not self.skips:
            return slice(0, self.keys)
        hidden = _once(self.hidden[piece, :, rows])
        seen = np.flatnonzero(~hidden.reshape(-1, self.keys).all(axis=0))
        few = 0 < len(seen) < self.keys * 3 // 4  # worth a copy of the keys
        return seen if few else slice(0, self.keys)

    def scores(self, piece, rows, visible):
        """(heads, group, rows, visible): scaled, masked, the caller's to write to."""
        query = self.query[piece, :, rows] * self.scale
        scores = stacked(query, self.key[piece, visible].mT)
        if self.bias is not None:
            scores += of_keys(self.bias[piece, :, rows], visible)
        if self.hidden is not None:
            hidden = of_keys(_once(self.hidden[piece, :, rows]), visible)
            np.copyto(scores, -np.inf, where=hidden)
        if self.is_causal and visible.stop > rows.start + 1:
            places = np.arange(self.queries)[rows, None]
            future = np.arange(rows.start, visible.stop) > places
            np.copyto(scores[..., rows.start :], -np.inf, where=future)
        return scores


def stacked(left, right):
    """(n, group, a, b) @ (n, b, c), a group's heads as rows of one product."""
    n, group, a, b = left.shape
    return (left.reshape(n, group * a, b) @ right).reshape(n, group, a, -1)


def stacked_sum(left, right):
    """(n, group, a, b) and (n, group, a, c) -> (n, b, c), summed over the group."""
    n, group, a, b = left.shape
    left = left.reshape(n, group * a, b)
    return left.mT @ right.reshape(n, group * a, -1)


def of_keys(array, visible):
    """Those columns of an array that belong to the visible keys."""
    if isinstance(visible, slice):
        return array[..., visible]
    return array.take(visible, axis=-1)  # indexing would lay it out key by key


def _are_finite(*arrays):
    with np.errstate(over="ignore", invalid="ignore"):
        return bool(np.isfinite([array.sum() for array in arrays]).all())


def _once(array):
    """The rows of an array that was broadcast, without their repetitions."""
    steps = array.strides[:-1]
    return array[tuple(slice(None) if step else slice(1) for step in steps)]


def _spread(array, shape):
    return array if array.shape == shape else np.broadcast_to(array, shape)


def _leading_axes(query, key, value, gqa):
    """The leading axes of all key heads, and how many query heads share each."""
    lead, shared, group = query.shape[:-2], key.shape[:-2], 1
    if shared != value.shape[:-2]:
        shared = np.broadcast_shapes(shared, value.shape[:-2])
    if gqa:
        group = lead[-1] // shared[-1]
        lead = (*lead[:-1], shared[-1])
    return lead if lead == shared else np.broadcast_shapes(lead, shared), group
