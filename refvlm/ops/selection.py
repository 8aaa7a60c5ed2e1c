r"""Selection: the largest entries, entries by their place, and means of some of them.

Where two entries are equal, the one with the lower index is taken, always: a greedy
decoder must give the same words on every machine.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable, value_of
from ..kernels import computed_by, partition
from ..shapes import shapes
from ..sums import total
from . import demands


@shapes(demands.entries_to_choose_from, x="... of numbers", dim="axis of x")
def argmax(x, dim=None, keepdim=False):
    r"""Where the largest entry is, the first if tied: $\operatorname{argmax}_i x_i$.

    Along dim, or with dim=None of all entries, counted through. NaN counts as the
    largest, as in PyTorch. An integer has no derivative.

    Source: [Cortes] 4.4. Oracle: torch.argmax.

    >>> argmax(np.array([[1.0, 3.0, 3.0]]), dim=-1)
    array([1])
    """
    return np.asarray(np.argmax(value_of(x), axis=dim, keepdims=keepdim))


@shapes(
    demands.as_many_as_there_are,
    x="... of numbers",
    dim="axis of x",
    as_stored=True,
)
def topk(x, k, dim=-1, largest=True, sorted=True):
    r"""The k largest entries along dim, in descending order: (values, indices).

    largest=False gives the k smallest, ascending. Equal entries stand by index, and
    of those at the border the lowest indices are taken; PyTorch promises neither. They
    are sorted whatever `sorted` says, which is there so that a call reads like
    PyTorch's.
    NaN counts as the largest. The values are differentiable: they are `gather`ed.

    Source: [Cortes] 11.1. Oracle: torch.topk.

    >>> values, indices = topk(np.array([1.0, 5.0, 5.0, 2.0]), k=2)
    >>> values, indices
    (array([5., 5.]), array([1, 2]))
    """
    indices = topk_indices(x, k, dim, largest)
    return gather(x, dim, indices), indices


@shapes(
    demands.as_many_as_there_are,
    x="... of numbers",
    dim="axis of x",
    as_stored=True,
)
@computed_by(partition.topk_indices)
def topk_indices(x, k, dim=-1, largest=True):
    r"""The places of the k largest entries along dim; see `topk`.

    They are the first k of a stable sort. It sorts nan behind everything, and keeps
    equal entries in order; so the largest are found from the back, in a mirror.

    Source: [Cortes] 11.1. Oracle: torch.topk.

    >>> topk_indices(np.array([1.0, 5.0, 5.0, 2.0]), k=3, largest=False)
    array([0, 3, 1])
    """
    if x.ndim == 0:
        return np.zeros((), int)  # of one number, where it is
    x = np.moveaxis(value_of(x), dim, -1)
    if largest:
        mirrored = np.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1]
        order = x.shape[-1] - 1 - mirrored
    else:
        order = np.argsort(x, axis=-1, kind="stable")
    return np.moveaxis(order[..., :k], -1, dim)


@differentiable
@shapes(
    demands.places_are_there,
    x="... of anything",
    dim="axis of x",
    index="...i of integers",
    as_stored=True,
)
def gather(x, dim, index):
    r"""Entries by their place along one axis: for dim = -1, $y_{..i} = x_{..t_i}$ with
    the index t.

    index is an array of integers from 0, of the shape of the result, which is that of
    x but along dim.

    Source: [Cortes] 11.1. Oracle: torch.gather.

    >>> gather(np.array([[1.0, 2.0, 3.0]]), -1, np.array([[2, 0]]))
    array([[3., 1.]])
    """
    x, places = np.atleast_1d(x, index)
    return np.take_along_axis(x, places, axis=dim).reshape(index.shape)


@gather.vjp
def gather_vjp(d_out, x, dim, index):
    r"""$\bar x_j = \sum_{i:\,t_i = j} \bar y_i$: each entry collects from its uses."""
    index, d_out = np.atleast_1d(index, d_out)
    d_x = np.zeros(x.shape or 1, d_out.dtype)
    places = list(np.indices(index.shape, sparse=True))
    places[dim] = index
    np.add.at(d_x, tuple(places), d_out)
    return d_x.reshape(x.shape)


@differentiable
@shapes(demands.mask_flags_entries, x="...", mask="...m of anything", dim="axis of x")
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
    flags = mask.astype(bool).reshape(*mask.shape, *(1,) * (x.ndim - mask.ndim))
    kept = total(np.where(flags, x, 0), dim)
    return np.asarray(kept / flags.sum(dim, dtype=x.dtype))


@masked_mean.vjp
def masked_mean_vjp(d_out, x, mask, dim):
    r"""$\bar x_i = m_i\,\bar y / \sum_j m_j$."""
    flags = mask.astype(bool).reshape(*mask.shape, *(1,) * (x.ndim - mask.ndim))
    share = d_out / flags.sum(dim, dtype=x.dtype)
    return np.where(flags, np.expand_dims(share, dim), 0)
