"""Heads: the arrays of an attention, laid out so that no key is ever repeated.

Whatever axes came before (batch, heads), they become one list of n key heads; the
query heads that share a key head (grouped queries) stand together as its group.
Pieces of that list are worked on side by side, a block of queries at a time, so
that a block's scores stay in cache and the whole of them never exists.
"""

from __future__ import annotations

import math
from numbers import Real

import numpy as np

from ..parallel import blocks
from ..shapes import ShapeError

SCORES = 1 << 18  # a piece at a time: 1 MB of float32, about a core's cache
FEWEST_QUERIES = 32  # in a block: matrix products of fewer rows are slow


class Heads:
    """query (n, group, q, d), key (n, k, d), value (n, k, e) and what may be seen."""

    def __init__(
        self, query, key, value, attn_mask=None, is_causal=False, scale=None, gqa=False
    ):
        self.scale = scale_of(query, scale)
        self.lead, self.group = leading_axes(query, key, value, gqa)
        self.merged = (*self.lead[:-1], *(h * self.group for h in self.lead[-1:]))
        self.count = math.prod(self.lead)
        self.queries, self.keys = query.shape[-2], key.shape[-2]
        self.query = self.split(query)
        self.key, self.value = self._shared(key), self._shared(value)
        self.is_causal = is_causal
        self.bias = self.hidden = None
        if attn_mask is not None and is_boolean(attn_mask):
            self.hidden = self.of_scores(~attn_mask, "attn_mask")
        elif attn_mask is not None:
            self.bias = self.of_scores(attn_mask, "attn_mask")

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

    def of_scores(self, array, name="dropout_mask"):
        """A mask that broadcasts to the scores, as a view (n, group, q, k)."""
        target = (*self.merged, self.queries, self.keys)
        check_fits(name, array, target)
        array = array.reshape((1,) * (2 - array.ndim) + array.shape)
        target = (self.count, self.group, self.queries, self.keys)
        return _spread(self.split(array), target)

    def _shared(self, array):
        """(..., key heads, k, c) -> (n, k, c)."""
        array = _spread(array, (*self.lead, *array.shape[-2:]))
        return array.reshape(self.count, *array.shape[-2:])

    def unshare(self, array):
        """(n, k, c) -> (..., key heads, k, c): `_shared` undone."""
        return array.reshape(*self.lead, *array.shape[-2:])

    def pieces(self):
        """Slices of the heads, each the work of one core."""
        each = max(1, self.group * self.queries * self.keys)
        return blocks(self.count, max(1, SCORES // each))

    def rows(self):
        """Slices of the queries, a block of them at a time."""
        fit = SCORES // max(1, self.group * self.keys)
        return blocks(self.queries, max(fit, FEWEST_QUERIES))

    def seen(self, rows):
        """How many keys this block of queries may look at."""
        return min(rows.stop, self.keys) if self.is_causal else self.keys

    def scores(self, some, rows, seen):
        """(heads, group, rows, seen): scaled, masked, and the caller's to write to."""
        query = self.query[some, :, rows] * self.scale
        scores = stacked(query, self.key[some, :seen].swapaxes(-1, -2))
        if self.bias is not None:
            scores += self.bias[some, :, rows, :seen]
        if self.hidden is not None:
            np.copyto(scores, -np.inf, where=self.hidden[some, :, rows, :seen])
        if self.is_causal and seen > rows.start + 1:
            future = np.arange(rows.start, seen) > np.arange(self.queries)[rows, None]
            np.copyto(scores[..., rows.start :], -np.inf, where=future)
        return scores


def scale_of(query, scale=None):
    r"""$1 / \sqrt d$ unless given."""
    if not query.shape[-1]:
        raise ShapeError(f"attention: query {query.shape} has no features")
    if not isinstance(scale, (Real, type(None))):
        raise ValueError(f"attention: scale is a number, not {scale!r}")
    return 1 / math.sqrt(query.shape[-1]) if scale is None else float(scale)


def check_fits(name, mask, scores_shape):
    """Refuse a mask that does not broadcast to the scores."""
    if mask is None or mask.shape == scores_shape:
        return
    try:
        broadcast = np.broadcast_shapes(mask.shape, scores_shape)
    except ValueError:
        broadcast = None
    if broadcast != scores_shape:
        raise ShapeError(
            f"attention: {name} is {mask.shape}, but the scores are {scores_shape}"
        )


def is_boolean(attn_mask):
    """True for a boolean mask, False for an additive one; whole numbers are neither."""
    if attn_mask.dtype.kind not in "bf":
        raise ValueError(
            f"attention: attn_mask is {attn_mask.dtype}: give booleans (True may be "
            "seen), or floating numbers to be added to the scores"
        )
    return attn_mask.dtype == bool


def stacked(left, right):
    """(n, group, a, b) @ (n, b, c), a group's heads as rows of one product."""
    n, group, a, b = left.shape
    return (left.reshape(n, group * a, b) @ right).reshape(n, group, a, -1)


def stacked_sum(left, right):
    """(n, group, a, b) and (n, group, a, c) -> (n, b, c), summed over the group."""
    n, group, a, b = left.shape
    left = left.reshape(n, group * a, b)
    return left.mT @ right.reshape(n, group * a, -1)


def repeat_heads(array, query):
    """Each head of array as often as query has heads for it: (..., heads, k, d)."""
    _, group = leading_axes(query, array, array, True)
    return array[..., np.repeat(np.arange(array.shape[-3]), group), :, :]


def _spread(array, shape):
    return array if array.shape == shape else np.broadcast_to(array, shape)


def leading_axes(query, key, value, gqa):
    """The leading axes of all key heads, and how many query heads share each."""
    lead, shared = query.shape[:-2], key.shape[:-2]
    group = 1
    if gqa:
        if not lead or not shared or not shared[-1] or lead[-1] % shared[-1]:
            raise ShapeError(
                f"attention: the heads of query {query.shape} are no multiple of the "
                f"heads of key {key.shape}"
            )
        group = lead[-1] // shared[-1]
        lead = (*lead[:-1], shared[-1])
    if lead == shared == value.shape[:-2]:
        return lead, group
    try:
        return np.broadcast_shapes(lead, shared, value.shape[:-2]), group
    except ValueError:
        raise ShapeError(
            f"attention: the leading axes of query {query.shape}, key {key.shape} and "
            f"value {value.shape} do not broadcast; heads that share keys need "
            "enable_gqa=True"
        ) from None
