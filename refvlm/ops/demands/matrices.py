"""Of matrices: what linear algebra asks of them."""

from __future__ import annotations

import math

import numpy as np

from ...arguments import check_whole, is_number
from ...autodiff import value_of


def finite_numbers(function, A):
    """Neither NaN nor an infinity, of which factorisations make what the machine's
    library happens to make."""
    A = value_of(A)
    if not np.isfinite(A).all():
        wrong = A[~np.isfinite(A)].flat[0]
        raise ValueError(
            f"{function}: A holds {wrong}: see where it came from, np.isfinite(A) says "
            "where it stands"
        )


def a_symmetric_matrix(function, A):
    """Equal to its transpose, but for a thousandth of its largest entry: a covariance
    that was computed is not symmetric to the last bit."""
    apart = np.abs(A - A.swapaxes(-1, -2)).max(initial=0.0)
    if apart > 1e-3 * np.abs(A).max(initial=0.0):
        raise ValueError(
            f"{function}: A is not symmetric, entries across the diagonal are up to "
            f"{apart:.3g} apart: give it a covariance, or another A + A^T"
        )


def a_relative_cutoff(function, rtol):
    """A share of the largest singular value, below which one counts as 0."""
    if rtol is not None and not (is_number(rtol) and 0 <= rtol < 1):
        raise ValueError(
            f"{function}: rtol is a share of the largest singular value, from 0 and "
            f"below 1, or None, not {rtol!r}"
        )


# The iteration of Ben-Israel and Cohen


def squares_in_range(function, A):
    """Its square has a place in its dtype, and one over its square too."""
    A = value_of(A)
    largest = np.abs(A).max(initial=0.0).item()
    most = math.sqrt(np.finfo(np.promote_types(A.dtype, np.float32)).max)
    if largest and not 1 / most < largest < most / max(A.size, 1):
        raise ValueError(
            f"{function}: the largest entry of A is {largest:.3g}, whose square leaves "
            "the range of its dtype: divide A by it, and the result as well"
        )


def a_number_of_steps(function, steps):
    """How many at most; None is as many as it takes."""
    if steps is not None:
        check_whole(function, steps=steps)


def a_scale_that_converges(function, A, scale):
    """Above 0 and below 2 over the square of the largest singular value."""
    if scale is None:
        return
    if not is_number(scale) or not scale > 0:
        raise ValueError(
            f"{function}: scale is a number above 0, or None for safe_scale(A), not "
            f"{scale!r}"
        )
    A = value_of(A)
    if A.size:
        wide = A.astype(np.promote_types(A.dtype, np.float32))
        largest = np.linalg.norm(wide, 2, (-2, -1)).max().item()
        if scale * largest**2 >= 2 - 1e-6:  # that near, it would not arrive either
            raise ValueError(
                f"{function}: scale is {scale:.4g}, but the largest singular value of "
                f"A is s = {largest:.4g}, and from 2/s^2 = {2 / largest**2:.4g} on the "
                "iteration diverges: take a smaller one, or None for safe_scale(A)"
            )


def a_tolerance(function, tolerance):
    """A share of X, by which it may still change."""
    if tolerance is not None and not (is_number(tolerance) and 0 < tolerance < 1):
        raise ValueError(
            f"{function}: tolerance is a share between 0 and 1 by which X may still "
            f"change, or None, not {tolerance!r}"
        )
