r"""Long sums, without the error of a running total.

NumPy adds the numbers of a row pair by pair, and its error hardly grows. Along any
other axis it keeps a running total: of n numbers of one size, each is rounded to the
digits that the total has left. In float32 a sum of three million tenths comes out 3 %
short, and one of ones stops at $2^{24}$; in float16 it stops at 2,048.

`total` adds blocks of 128, then blocks of those, and takes no longer.
"""

from __future__ import annotations

import math

import numpy as np

BLOCK = 128  # numbers; what a running total of them loses is under 128 roundings


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
    axes = range(x.ndim) if axis is None else np.atleast_1d(axis) % max(x.ndim, 1)
    if math.prod([x.shape[each] for each in axes]) <= BLOCK:
        return x.sum(axis, keepdims=keepdims)
    sums = x
    for each in sorted(axes, reverse=True):
        sums = _along(sums, int(each))
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


def _along(x, axis):
    """The sum along one axis, which is left with a length of 1."""
    while x.shape[axis] > BLOCK and x.strides[axis] != x.itemsize:
        count = x.shape[axis] // BLOCK
        head, rest = np.split(x, [count * BLOCK], axis)
        blocks = head.reshape(*x.shape[:axis], count, BLOCK, *x.shape[axis + 1 :])
        sums = [blocks.sum(axis + 1), rest.sum(axis, keepdims=True)]
        x = np.concatenate(sums, axis)
    return x.sum(axis, keepdims=True)
