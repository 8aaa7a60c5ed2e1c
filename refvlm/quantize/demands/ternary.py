"""Of three values: a mean to measure by, and nothing but -1, 0 and 1."""

from __future__ import annotations

import math

from ...arguments import is_number
from ...autodiff import value_of
from ...shapes import ShapeError
from .numbers import finite


def weights_have_a_mean(function, w, eps):
    """There are weights, each a number, and the least scale is above 0."""
    if not w.size:
        raise ShapeError(f"{function}: w is {w.shape}, and has no mean")
    finite(function, w=w)
    if not is_number(eps) or not 0 < eps < math.inf:
        raise ValueError(f"{function}: eps is a number above 0, not {eps!r:.60}")


def three_values_and_a_scale(function, values, scale):
    """Codes are -1, 0 and 1, and one scale above 0 is for all of them."""
    if scale.size != 1:
        raise ShapeError(f"{function}: scale is {scale.shape}, but is one number")
    finite(function, scale=scale)
    if scale.item() <= 0:
        raise ValueError(f"{function}: scale is {scale.item():g}, but is above 0")
    if values.size and not -1 <= values.min() <= values.max() <= 1:
        raise ValueError(
            f"{function}: values reach from {values.min()} to {values.max()}, but are "
            f"-1, 0 and 1"
        )


def a_weight_to_round(function, x, weight):
    """Numbers throughout, and some weights."""
    finite(function, x=value_of(x), weight=value_of(weight))
    if not weight.size:
        raise ShapeError(f"{function}: weight is {weight.shape}, and has no mean")
