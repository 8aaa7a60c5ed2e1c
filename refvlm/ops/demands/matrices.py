"""Of matrices: what linear algebra asks of them."""

from __future__ import annotations

import numpy as np


def finite_numbers(function, A):
    """Neither NaN nor an infinity, of which factorisations make what the machine's
    library happens to make."""
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
