"""Of positions: features in pairs, places that are known."""

from __future__ import annotations

import math

import numpy as np

from ...arguments import check_whole, is_number, per_axis
from ...shapes import ShapeError


def features_in_pairs(function, dim):
    """An even number of features."""
    check_whole(function, least=2, dim=dim)
    if dim % 2:
        raise ValueError(f"{function}: dim {dim} must be even, for pairs")


def a_positive_base(function, base):
    """Something to take powers of."""
    _check_positive(function, "base", base)


def a_positive_theta(function, theta):
    """The same, by the name that configurations have for it."""
    _check_positive(function, "theta", theta)


def _check_positive(function, name, number):
    if not is_number(number) or not number > 0:
        raise ValueError(f"{function}: {name} must be positive, not {number!r}")


def length_is_a_count(length):
    """So many positions."""
    check_whole("sinusoidal_positions", length=length)


def places_are_learnt(x, embedding, offset):
    """Every token stands where the table has a row."""
    check_whole("add_positions", offset=offset)
    end = offset + x.shape[-2]
    if end > embedding.shape[0]:
        raise ShapeError(
            f"add_positions: tokens {offset} to {end - 1} need a position each, but "
            f"embedding {embedding.shape} has {embedding.shape[0]}"
        )


def positions_are_numbers(function, positions):
    """Places that can be multiplied by a frequency."""
    if np.asarray(positions).dtype.kind not in "iuf":
        raise ValueError(f"{function}: positions are numbers, not {positions!r}")


def every_pair_has_an_angle(x, cos, sin):
    """Half as many angles as features, and numbers."""
    for name, angles in (("cos", cos), ("sin", sin)):
        if angles.dtype.kind not in "iuf":
            raise ValueError(
                f"apply_rotary: {name} holds {angles.dtype}, but needs numbers"
            )
    if x.shape[-1] != 2 * cos.shape[-1]:
        raise ShapeError(
            f"apply_rotary: x {x.shape} has {x.shape[-1]} features, but cos "
            f"{cos.shape} has angles for {2 * cos.shape[-1]}"
        )


def positions_are_a_grid(positions, new_size, old_size, num_prefix_tokens):
    """What follows the prefix fills a grid, a square unless its size is given."""
    function = "interpolate_positions"
    check_whole(function, num_prefix_tokens=num_prefix_tokens)
    per_axis(new_size, 2, f"{function}: new_size", least=1)
    patches = max(positions.shape[-2] - num_prefix_tokens, 0)
    old_size = math.isqrt(patches) if old_size is None else old_size
    height, width = per_axis(old_size, 2, f"{function}: old_size")
    if height * width != patches or not patches:
        raise ShapeError(
            f"{function}: positions {positions.shape} less {num_prefix_tokens} prefix "
            f"tokens are not a grid of {height} x {width}"
        )
