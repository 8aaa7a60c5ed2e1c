r"""Merging: tokens that say the same become one, which counts as many.

    even tokens A, odd tokens B --> for each a, the most similar b
    the r most similar pairs --> one token, the mean by size

Nothing is thrown away: the sum of size times token is what it was. Pairs go from A to B
only, so that all r merges are made at once, without a loop. A merged token stands for
s others, and attention is told so: log s is added to its scores, as if it stood there s
times. Source: [DeepDive] semantic clustering; [Bolya2023], Token Merging (ToMe).
"""

from __future__ import annotations

import numpy as np

from ... import ops
from ...arguments import check_whole
from ...shapes import ShapeError, shapes
from ...variable import value_of
from .pruning import check_kept


@shapes(metric="... n d")
def bipartite_matching(metric, r: int, class_token: bool = False):
    r"""Which token goes where, if the r most similar pairs of an even and an odd token
    meet: for each even a the odd $b(a) = \operatorname{argmax}_b \cos(a, b)$, and of
    these pairs the r with the largest cosine.

    metric is (..., n, d), what tokens are compared by; the result (..., n) are groups
    from 0 to n - r - 1, for `merge_tokens`. A group stands where its odd token stood,
    so that the order of places is kept. A class token, the first, is never merged.

    Source: [DeepDive] semantic clustering; [Bolya2023]. Oracle: its algorithm in torch.

    >>> bipartite_matching(np.array([[1.0, 0.0], [0.0, 1.0], [0.1, 1.0]]), r=1)
    array([0, 1, 1])
    """
    metric, tokens = value_of(metric), metric.shape[-2]
    _check_pairs(metric, r, class_token)
    unit = ops.normalize(metric, dim=-1)
    cosines = unit[..., ::2, :] @ unit[..., 1::2, :].swapaxes(-1, -2)
    if class_token:
        cosines[..., 0, :] = -np.inf
    lead = metric.shape[:-2]
    goes_to = np.broadcast_to(np.arange(tokens), (*lead, tokens)).copy()
    is_left = np.ones((*lead, tokens), bool)
    if r:
        moved = ops.topk_indices(cosines.max(axis=-1), r)
        partners = np.take_along_axis(cosines.argmax(axis=-1), moved, -1)
        np.put_along_axis(goes_to, 2 * moved, 2 * partners + 1, -1)
        np.put_along_axis(is_left, 2 * moved, False, -1)
    rank = np.cumsum(is_left, axis=-1) - 1
    return np.take_along_axis(rank, goes_to, -1)


@shapes(x="... n d", groups="... n of integers", sizes="... n")
def merge_tokens(x, groups, num_groups: int, sizes=None):
    r"""One token for each group, the mean by size:
    $y_g = \sum_{i \in g} s_i x_i \,/\, \sum_{i \in g} s_i$.

    x is (..., n, d), groups (..., n) from 0 to `num_groups` - 1, sizes (..., n), ones
    unless given. The result is the pair of tokens (..., num_groups, d) and their sizes
    (..., num_groups), and $\sum s x$ and $\sum s$ are what they were.

    Source: [DeepDive] semantic clustering; [Bolya2023]. Oracle: torch arithmetic.

    >>> merge_tokens(np.array([[1.0], [4.0], [9.0]]), np.array([0, 0, 1]), 2)
    (array([[2.5],
           [9. ]]), array([2., 1.]))
    """
    sizes = np.ones(x.shape[:-1], x.dtype) if sizes is None else sizes
    if not _are_sizes(value_of(sizes)):
        raise ValueError(
            "merge_tokens: sizes must be finite and above 0: each token counts"
        )
    sizes = np.expand_dims(sizes, -1)
    counts = ops.group_sum(sizes, groups, num_groups)
    if (value_of(counts) == 0).any():
        empty = int(np.argwhere(value_of(counts) == 0)[0][-2])
        raise ValueError(
            f"merge_tokens: nobody is in group {empty} of {num_groups}, and no token "
            "is the mean of none"
        )
    sums = ops.group_sum(x * sizes, groups, num_groups)
    return sums / counts, np.squeeze(counts, -1)


def bipartite_merge(x, sizes, r: int, metric=None, class_token: bool = False):
    r"""`bipartite_matching` by the metric, x itself unless given, and `merge_tokens`:
    n tokens become n - r.

    x is (..., n, d), sizes (..., n) or None for ones. Returns tokens (..., n - r, d),
    sizes (..., n - r) and groups (..., n).

    Source: [DeepDive] semantic clustering; [Bolya2023]. Oracle: its algorithm in torch.
    """
    groups = bipartite_matching(x if metric is None else metric, r, class_token)
    merged, sizes = merge_tokens(x, groups, x.shape[-2] - r, sizes)
    return merged, sizes, groups


def repeated_merge(x, sizes, keep: int, metric=None, class_token: bool = False):
    r"""`bipartite_merge` again and again, as one makes at most half of the tokens go:
    n tokens become `keep`.

    The metric of a merged token is the mean by size of what the metrics were. Returns
    tokens (..., keep, d), sizes (..., keep) and groups (..., n).

    Source: [DeepDive] semantic clustering; [Bolya2023]. Oracle: its algorithm in torch.

    >>> repeated_merge(np.array([[0.0, 1], [2, 9], [3, 9], [9, 0]]), None, keep=1)
    (array([[3.5 , 4.75]]), array([4.]), array([0, 0, 0, 0]))
    """
    tokens = x.shape[-2]
    check_kept("repeated_merge", "keep", keep, tokens)
    if class_token and keep == 1 < tokens:
        raise ValueError(
            "repeated_merge: keep is 1, the class token, and the others have nobody to "
            "go to: keep 2 at least"
        )
    sizes = np.ones(x.shape[:-1], x.dtype) if sizes is None else sizes
    metric = value_of(x if metric is None else metric)
    groups = np.broadcast_to(np.arange(tokens), x.shape[:-1])
    while tokens > keep:
        r = min(tokens - keep, most_merges(tokens, class_token))
        tokens -= r
        joined = bipartite_matching(metric, r, class_token)
        metric, _ = merge_tokens(metric, joined, tokens, sizes)
        x, sizes = merge_tokens(x, joined, tokens, sizes)
        groups = np.take_along_axis(joined, groups, -1)
    return x, sizes, groups


@shapes(sizes="... k", returns="... 1 1 k")
def size_bias(sizes):
    r"""What proportional attention adds to the scores: $\log s_j$, so that a token of
    size s is looked at as s equal ones would be, together.

    sizes is (..., k), the result (..., 1, 1, k), for all heads and queries of
    `ops.scaled_dot_product_attention(..., attn_mask=)`.

    Source: [Bolya2023], equation 1. Oracle: torch.log.

    >>> size_bias(np.array([1.0, 2.0])).round(4)
    array([[[0.    , 0.6931]]])
    """
    if not _are_sizes(value_of(sizes)):
        raise ValueError(
            "size_bias: sizes must be finite and above 0: a token counts for some"
        )
    return np.log(value_of(sizes))[..., None, None, :]


def most_merges(tokens: int, class_token: bool = False) -> int:
    """The largest r: no more than half of the tokens have a partner to go to.

    >>> most_merges(65, class_token=True)
    32
    """
    return max(tokens - class_token, 0) // 2


def _are_sizes(sizes):
    return bool((np.isfinite(sizes) & (sizes > 0)).all())


def _check_pairs(metric, r, class_token):
    tokens = metric.shape[-2]
    check_whole("bipartite_matching", r=r)
    if not isinstance(class_token, int | np.bool_) or class_token not in (0, 1):
        raise ValueError(
            "bipartite_matching: class_token is True where the first token is one, "
            f"or False, not {class_token!r:.60}"
        )
    most = most_merges(tokens, bool(class_token))
    if r > most:
        beside = " beside the class token" if class_token else ""
        raise ValueError(
            f"bipartite_matching: r is {r}, but of {tokens - class_token} tokens"
            f"{beside} at most {most} can be merged at once: merge again"
        )
    if not metric.shape[-1]:
        raise ShapeError(f"bipartite_matching: metric {metric.shape} has no features")
    if not np.isfinite(metric).all():
        raise ValueError(
            "bipartite_matching: metric has NaN or infinity: nothing is similar to it"
        )
