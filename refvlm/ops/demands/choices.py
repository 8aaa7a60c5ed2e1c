"""Of similarity and selection, and of noise."""

from __future__ import annotations

import math

import numpy as np

from ...arguments import check_generator, check_whole, is_number
from ...shapes import ShapeError

# Similarity and selection


def length_has_a_power(p):
    """p is a number: 2 for the usual length, infinity for the largest entry."""
    if not is_number(p) or math.isnan(p):
        raise ValueError(f"normalize: p is a number, not {p!r}")


def entries_to_choose_from(x, dim):
    """Of no entries none is the largest."""
    if (x.size if dim is None or not x.ndim else x.shape[dim]) == 0:
        raise ShapeError(f"argmax: x is {x.shape} and has no largest entry")


def as_many_as_there_are(function, x, k, dim):
    """k is a number of entries along dim; a number alone is one."""
    check_whole(function, k=k)
    there = x.shape[dim] if x.ndim else 1
    if k > there:
        raise ValueError(f"{function}: k is {k}, but there are {there} entries")


def places_are_there(x, dim, index):
    """The index has the shape of x but along dim, and points into x; a number alone is
    a row of one, as in PyTorch."""
    shape, places = x.shape or (1,), index.shape or (1,)
    along = dim % len(shape)
    size, around = shape[along], (*places[:along], shape[along], *places[along + 1 :])
    if len(places) != len(shape) or around != shape:
        raise ShapeError(
            f"gather: x is {x.shape} and index {index.shape}; they may differ along "
            f"dim {dim} only"
        )
    if index.size and not 0 <= index.min() <= index.max() < size:
        raise ValueError(f"gather: an index is outside 0 to {size - 1} (x {x.shape})")


def mask_flags_entries(x, mask, dim):
    """The mask holds one flag for each entry along dim, and keeps some of them."""
    axes = range(x.ndim)[dim] + 1
    if mask.shape != x.shape[:axes]:
        raise ShapeError(
            f"masked_mean: mask is {mask.shape}, but x {x.shape} has "
            f"{x.shape[:axes]} entries to keep or not, along dim {dim}"
        )
    if not np.isin(mask, (0, 1)).all():
        raise ValueError(f"masked_mean: a mask of tokens holds 0 and 1, not {mask!r}")
    if not mask.any(axis=-1).all():
        raise ValueError("masked_mean: a mask keeps nothing, and that has no mean")


# Randomness


def probability(function, p):
    """p is a probability."""
    if not is_number(p) or not 0 <= p <= 1:
        raise ValueError(f"{function}: p is a probability, not {p!r}")


def generator(rng):
    """There is no hidden generator: one is given."""
    check_generator("dropout_mask", rng)


def noise_has_a_source(function, p, training, rng):
    """Where something is to be dropped, there is a generator that says what."""
    probability(function, p)
    if training and p > 0:
        check_generator(function, rng)


def floating_dtype(dtype):
    """A mask that is multiplied in holds floating numbers."""
    if np.dtype(dtype).kind != "f":
        raise ValueError(f"dropout_mask: dtype is a floating one, not {dtype}")
