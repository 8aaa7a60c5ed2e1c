r"""Long sums, without the error of a running total.

NumPy adds the numbers of a row pair by pair, and its error hardly grows. Along any
other axis it keeps a running total: of n numbers of one size, each is rounded to the
digits that the total has left. In float32 a sum of three million tenths comes out 3 %
short, and one of ones stops at $2^{24}$; in float16 it stops at 2,048.

`total` adds such rows in blocks of 128, the sums of blocks in blocks, and so on.
Where a few hundred numbers are added, or the numbers lie side by side, it is `np.sum`.
"""

from __future__ import annotations

import math

import numpy as np

BLOCK = 128  # numbers; what a running total of them loses is under 128 roundings
FEW = 512  # numbers that are worth no second call


def total(x, axis=None, keepdims=False):
    r"""$\sum x$ over one axis, some, or all, as `np.sum`; of float16 in float32 and
    rounded once.

    >>> ones = np.ones((4096, 2), np.float16)
    >>> float(ones.sum(0)[0]), float(total(ones, 0)[0])
    (2048.0, 4096.0)
    """
    if x.dtype == np.float16:
        with np.errstate(over="ignore"):
            return total(x.astype(np.float32), axis, keepdims).astype(np.float16)
    lengths = x.shape or (1,)
    listed = range(x.ndim) if axis is None else np.atleast_1d(axis)
    axes = {int(each) % len(lengths) for each in listed}
    if math.prod([lengths[each] for each in axes]) <= FEW:
        return x.sum(axis, keepdims=keepdims)
    side_by_side = tuple(each for each in sorted(axes) if _is_tail(x, each, axes))
    sums = x.sum(side_by_side, keepdims=True) if side_by_side else x
    for each in sorted(axes.difference(side_by_side)):
        sums = _along(sums, each)
    return sums if keepdims else sums.squeeze(tuple(axes))


def mean_and_variance(x, axes):
    r"""$\mu = \frac1n \sum x$ and $\sigma^2 = \frac1n \sum (x - \mu)^2$ over some axes.

    >>> mean_and_variance(np.array([[1.0, 3.0], [5.0, 5.0]]), (1,))
    (array([2., 5.]), array([1., 0.]))
    """
    count = math.prod([x.shape[each] for each in axes])
    mean = total(x, axes, keepdims=True) / count
    variance = total(np.square(x - mean), axes) / count
    return mean.squeeze(axes), variance


def _is_tail(x, axis, axes):
    """Whether an axis and all behind it are added up and lie in memory as one row,
    whose numbers NumPy adds pair by pair."""
    return x.flags.c_contiguous and axes.issuperset(range(axis, x.ndim))


def _is_innermost(x, axis):
    """Whether NumPy walks along this axis first, and so adds it pair by pair."""
    steps = [abs(step) for step, n in zip(x.strides, x.shape) if n > 1]
    return abs(x.strides[axis]) == min(steps) and steps.count(min(steps)) == 1


def _along(x, axis):
    """The sum along one axis, which is left with a length of 1."""
    while x.shape[axis] > FEW and not _is_innermost(x, axis):
        count = x.shape[axis] // BLOCK
        head, rest = np.split(x, [count * BLOCK], axis)
        blocks = head.reshape(*x.shape[:axis], count, BLOCK, *x.shape[axis + 1 :])
        sums = [blocks.sum(axis + 1), rest.sum(axis, keepdims=True)]
        x = np.concatenate(sums, axis)
    return x.sum(axis, keepdims=True)
