r"""Selection: the largest entries, entries by their place, and means of some of them.

Where two entries are equal, the one with the lower index is taken, always: a greedy
decoder must give the same words on every machine.
"""

from __future__ import annotations

import numpy as np

from ..arguments import check_whole
from ..autodiff import differentiable, value_of
from ..shapes import ShapeError, shapes
from .masks import token_flags


@shapes(x="... of numbers", dim="axis of x")
def argmax(x, dim=None, keepdim=False):
    r"""Where the largest entry is, the first if tied: $\operatorname{argmax}_i x_i$.

    Along dim, or with dim=None of all entries, counted through. NaN counts as the
    largest, as in PyTorch. An integer has no derivative.

    Source: [Cortes] 4.4. Oracle: torch.argmax.

    >>> argmax(np.array([[1.0, 3.0, 3.0]]), dim=-1)
    array([1])
    """
    x = value_of(x)
    if x.size == 0:
        raise ShapeError(f"argmax: x is {x.shape} and has no largest entry")
    return np.asarray(np.argmax(x, axis=dim, keepdims=keepdim))


@shapes(x="... of numbers", dim="axis of x", as_stored=True)
def topk(x, k, dim=-1, largest=True):
    r"""The k largest entries along dim, in descending order: (values, indices).

    largest=False gives the k smallest, ascending. Equal entries stand by index, and
    of those at the border the lowest indices are taken; PyTorch promises neither.
    NaN counts as the largest. The values are differentiable: they are `gather`ed.

    Source: [Cortes] 11.1. Oracle: torch.topk.

    >>> values, indices = topk(np.array([1.0, 5.0, 5.0, 2.0]), k=2)
    >>> values, indices
    (array([5., 5.]), array([1, 2]))
    """
    indices = topk_indices(x, k, dim, largest)
    return gather(x, dim, indices), indices


@shapes(x="... of numbers", dim="axis of x", as_stored=True)
def topk_indices(x, k, dim=-1, largest=True):
    r"""The places of the k largest entries along dim; see `topk`.

    Whatever lies strictly beyond the k-th value is in, and of those equal to it as
    many as there is room for, from the left. So only k entries are ever sorted: of
    150,000 scores for the next word, that is many times faster.

    Source: [Cortes] 11.1. Oracle: torch.topk.

    >>> topk_indices(np.array([1.0, 5.0, 5.0, 2.0]), k=3, largest=False)
    array([0, 3, 1])
    """
    x = np.moveaxis(value_of(x), dim, -1)
    check_whole("topk", least=1, k=k)
    if k > x.shape[-1]:
        raise ValueError(f"topk: k is {k}, but there are {x.shape[-1]} entries")
    rank = _nan_is_largest(x)
    if largest:
        border = np.partition(rank, -k, axis=-1)[..., -k, None]
        beyond = rank > border
    else:
        border = np.partition(rank, k - 1, axis=-1)[..., k - 1, None]
        beyond = rank < border
    level = rank == border
    room = k - beyond.sum(axis=-1, keepdims=True)
    chosen = beyond | (level & (np.cumsum(level, axis=-1) <= room))
    places = np.nonzero(chosen)[-1].reshape(*x.shape[:-1], k)
    kept = np.take_along_axis(rank, places, axis=-1)
    if largest:  # a stable sort of the mirror image, mirrored: ties stay in order
        order = k - 1 - np.argsort(kept[..., ::-1], axis=-1, kind="stable")[..., ::-1]
    else:
        order = np.argsort(kept, axis=-1, kind="stable")
    return np.moveaxis(np.take_along_axis(places, order, axis=-1), -1, dim)


def _nan_is_largest(x):
    return np.where(np.isnan(x), np.inf, x) if x.dtype.kind == "f" else x


@differentiable
@shapes(x="... of anything", dim="axis of x", index="...i of integers", as_stored=True)
def gather(x, dim, index):
    r"""Entries by their place along one axis: for dim = -1, $y_{..i} = x_{..t_i}$ with
    the index t.

    index is an array of integers from 0, of the shape of the result, which is that of
    x but along dim.

    Source: [Cortes] 11.1. Oracle: torch.gather.

    >>> gather(np.array([[1.0, 2.0, 3.0]]), -1, np.array([[2, 0]]))
    array([[3., 1.]])
    """
    size, along = x.shape[dim], dim % x.ndim
    around = index.shape[:along] + x.shape[along : along + 1] + index.shape[along + 1 :]
    if index.ndim != x.ndim or around != x.shape:
        raise ShapeError(
            f"gather: x is {x.shape} and index {index.shape}; they may differ along "
            f"dim {dim} only"
        )
    if index.size and not 0 <= index.min() <= index.max() < size:
        raise ValueError(f"gather: an index is outside 0 to {size - 1} (x {x.shape})")
    return np.take_along_axis(x, index, axis=dim)


@gather.vjp
def gather_vjp(d_out, x, dim, index):
    r"""$\bar x_j = \sum_{i:\,t_i = j} \bar y_i$: each entry collects from its uses."""
    d_x = np.zeros(x.shape, d_out.dtype)
    places = list(np.indices(index.shape, sparse=True))
    places[dim] = index
    np.add.at(d_x, tuple(places), d_out)
    return d_x


@differentiable
@shapes(x="...", mask="...m of anything", dim="axis of x")
def masked_mean(x, mask, dim):
    r"""The mean over those entries along dim that the mask keeps:
    $y = \sum_i m_i x_i \,/\, \sum_i m_i$.

    x is (..., n, *rest) with n at dim, mask (..., n): one flag (or 0 and 1) for each
    token, the features of a token being `rest`. What stands under a false flag is
    never read into the sum, be it NaN. A mask that keeps nothing is an error: no
    number is the mean of no numbers.

    Source: [MicroVLM-V] 1, which averages the padding too. Oracle: torch arithmetic.

    >>> masked_mean(np.array([[1.0, 3.0, 99.0]]), np.array([[1, 1, 0]]), dim=1)
    array([2.])
    """
    kept, count = _kept(x, mask, dim)
    return np.asarray(np.where(kept, x, 0).sum(axis=dim) / count)


@masked_mean.vjp
def masked_mean_vjp(d_out, x, mask, dim):
    r"""$\bar x_i = m_i\,\bar y / \sum_j m_j$."""
    kept, count = _kept(x, mask, dim)
    return np.where(kept, np.expand_dims(d_out / count, dim), 0)


def _kept(x, mask, dim):
    """The mask as booleans over x, and how many it keeps, in the dtype of x."""
    axes = range(x.ndim)[dim] + 1
    if mask.shape != x.shape[:axes]:
        raise ShapeError(
            f"masked_mean: mask is {mask.shape}, but x {x.shape} has "
            f"{x.shape[:axes]} entries to keep or not, along dim {dim}"
        )
    kept = token_flags("masked_mean", mask)
    count = kept.sum(axis=-1)
    if not count.all():
        raise ValueError("masked_mean: a mask keeps nothing, and that has no mean")
    rest = (1,) * (x.ndim - axes)
    count = count.reshape(*count.shape, *rest).astype(x.dtype)
    return kept.reshape(*mask.shape, *rest), count
