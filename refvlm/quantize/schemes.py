"""Schemes: the ways to few bits that have a name, each from a matrix to a packed one.

>>> packed = SCHEMES["nf4"].pack(np.ones((4, 64), np.float32))
>>> packed.nbytes, packed.array()[0, 0]
(144, np.float32(1.0))
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

from ..shapes import ShapeError
from .double_quantization import double_quantize
from .group_wise import group_quantize
from .matrices import FourBit, GroupWise, Ternary
from .normal_float import nf4_quantize
from .packed import Packed
from .packing import pack_trits
from .ternary import ternary_quantize

GROUPS = (64, 32)  # the widest that divides a row is taken


class Scheme(NamedTuple):
    """How a matrix is packed, and so how it is rounded."""

    pack: Callable[[np.ndarray], Packed]

    def rounded(self, weight: np.ndarray) -> np.ndarray:
        """The matrix as it comes back, in its own dtype."""
        return self.pack(weight).array().astype(weight.dtype, copy=False)


def group_of(columns: int) -> int | None:
    """How many columns share a scale, None where no group divides them.

    >>> group_of(896), group_of(96), group_of(100)
    (64, 32, None)
    """
    return next((size for size in GROUPS if columns % size == 0), None)


def pack_groups(weight: np.ndarray, bits: int) -> GroupWise:
    """Each group of a row on a grid of so many bits, as MLX does it."""
    _check_matrix("pack_groups", weight)
    size = group_of(weight.shape[-1])
    if size is None:
        raise ShapeError(
            f"pack_groups: weight {weight.shape} has rows that no group of "
            f"{' or '.join(map(str, GROUPS))} divides: take nf4 or ternary"
        )
    codes, scales, biases = group_quantize(weight, size, bits)
    return GroupWise(
        weight.shape,
        weight.dtype,
        group_size=size,
        bits=bits,
        codes=codes,
        scales=scales,
        biases=biases,
    )


def pack_nf4(weight: np.ndarray, nested: bool) -> FourBit:
    """Blocks of 64 on the sixteen levels of NF4, as bitsandbytes does it; `nested`
    packs the scales as well."""
    _check_matrix("pack_nf4", weight)
    codes, absmax = nf4_quantize(weight)
    stored = "float16" if weight.dtype == np.float16 else "float32"
    parts = {"absmax": absmax}
    if nested:
        names = "absmax", "nested_absmax", "offset"
        parts = {n: np.asarray(p) for n, p in zip(names, double_quantize(absmax))}
    return FourBit(weight.shape, weight.dtype, stored=stored, codes=codes, **parts)


def pack_ternary(weight: np.ndarray) -> Ternary:
    """Every number as -1, 0 or 1 times one scale for all."""
    _check_matrix("pack_ternary", weight)
    values, scale = ternary_quantize(weight)
    codes = pack_trits(values.reshape(-1))
    return Ternary(weight.shape, weight.dtype, codes=codes, scale=np.asarray(scale))


def _check_matrix(function, weight):
    if not isinstance(weight, np.ndarray) or weight.dtype.kind != "f":
        what = getattr(weight, "dtype", type(weight).__name__)
        raise ValueError(
            f"{function}: weight is an array of floating numbers, not {what}"
        )
    if weight.ndim != 2 or not weight.size:
        raise ShapeError(
            f"{function}: weight is {weight.shape}, where a matrix (out, in) is wanted"
        )


SCHEMES = {
    "int8": Scheme(partial(pack_groups, bits=8)),
    "int4": Scheme(partial(pack_groups, bits=4)),
    "int2": Scheme(partial(pack_groups, bits=2)),
    "nf4": Scheme(partial(pack_nf4, nested=False)),
    "nf4-double": Scheme(partial(pack_nf4, nested=True)),
    "ternary": Scheme(pack_ternary),
}
