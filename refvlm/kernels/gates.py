r"""Gates: a curve over every number, written over one array, on all cores.

Memory that is new costs more than an exponential: each step writes over the last. Of
$1/(1 + e^{-x})$ neither tail cancels: on the left the exponential grows, its reciprocal
keeps its digits, and where it is infinite the gate is below every normal number, and 0.
"""

from __future__ import annotations

import numpy as np

from ..parallel import in_parallel
from .pieces import pieces

FEW = 1 << 14


def sigmoid(x):
    """1 over 1 + e^-x. Of few numbers the definition is as quick."""
    if x.size < FEW:
        return NotImplemented

    def work(x, out):
        _decay_and_one(x, out)
        np.divide(1, out, out=out)

    return _by_piece(work, x)


def silu(x):
    """x over 1 + e^-x."""

    def work(x, out):
        _decay_and_one(x, out)
        np.divide(x, out, out=out)

    return _by_piece(work, x)


def silu_vjp(d_out, x):
    """The gate and its slope, over one array each."""

    def work(d_out, x, out):
        _decay_and_one(x, out)
        gate = np.divide(1, out, out=out)
        slope = np.subtract(1, gate)
        slope *= x
        slope += 1
        out *= slope
        out *= d_out

    return _by_piece(work, d_out, x)


def _decay_and_one(x, out):
    np.negative(x, out=out)
    with np.errstate(over="ignore"):  # 1 / inf is the limit, 0
        np.exp(out, out=out)
    out += 1


def _by_piece(work, *arrays):
    """What work(*pieces, out) writes, for pieces of arrays of one shape."""
    shape, dtype = arrays[0].shape, arrays[0].dtype
    if any((array.shape, array.dtype) != (shape, dtype) for array in arrays):
        return NotImplemented
    flat = [np.ascontiguousarray(array).reshape(-1) for array in arrays]
    out = np.empty(flat[0].shape, dtype)

    def of_piece(piece):
        work(*(array[piece] for array in flat), out[piece])

    in_parallel(of_piece, pieces(len(out)))
    return out.reshape(shape)
