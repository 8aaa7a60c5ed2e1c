r"""Linear algebra: the unknown matrix in $A X = B$, and how much a matrix enlarges.

A product with the inverse of A is never computed by way of that inverse: solving is
cheaper, and loses fewer digits.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable, unbroadcast
from ..shapes import shapes
from . import demands


@differentiable
@shapes(A="... n n", B="... n m", returns="... n m")
def solve(A, B):
    r"""The X of $A X = B$: $X = A^{-1} B$, without forming the inverse.

    A is (..., n, n), B (..., n, m) with a column for each right side, and so is X;
    leading axes broadcast. A matrix that is exactly singular has no one answer and is
    refused; one that is nearly so has an answer of few digits. A NaN in A makes NaN of
    all that is solved with it.

    Source: [MicroVLM-V] 5, whose addresses are the answers of such equations.
    Oracle: torch.linalg.solve.

    >>> solve(np.array([[2.0, 0.0], [1.0, 1.0]]), np.array([[4.0], [5.0]]))
    array([[2.],
           [3.]])
    """
    try:
        X = np.linalg.solve(A, B)
    except np.linalg.LinAlgError:
        raise ValueError(
            f"solve: {_singular(A)}, so A X = B has no answer, or many. Add a little "
            "to its diagonal (ridge), or take the least squares' answer, pinv(A) @ B"
        ) from None
    # A pivot is the largest of its column, and nothing is larger than NaN or smaller:
    # one that is passed over would leave some of X without a trace of it.
    return np.where(np.isnan(A).any((-2, -1), keepdims=True), np.nan, X)


@solve.vjp
def solve_vjp(d_out, out, A, B):
    r"""From $\dot X = A^{-1}(\dot B - \dot A X)$: $\bar B = A^{-\top} \bar X$ and
    $\bar A = -\bar B X^\top$, summed over the leading axes along which a side was
    repeated."""
    d_B = solve(A.swapaxes(-1, -2), d_out)
    d_A = -d_B @ out.swapaxes(-1, -2)
    return unbroadcast(d_A, A.shape), unbroadcast(d_B, B.shape)


@differentiable
@shapes(demands.finite_numbers, demands.a_symmetric_matrix, A="... n n", returns="...")
def logdet(A):
    r"""The logarithm of the determinant of a positive definite matrix:
    $\log |A| = 2 \sum_i \log L_{ii}$ where $A = L L^\top$, L lower triangular.

    A is (..., n, n), the result (...). The determinant itself may fit no format: that
    of 512 variances of 1e-6 is 1e-3072. A is taken for symmetric, as
    $(A + A^\top)/2$, and what is not positive definite is refused: it is no covariance.

    Source: [MicroVLM-V] 5, whose memory is a Gaussian. Oracle: torch.logdet.

    >>> logdet(np.diag([1.0, np.e, np.e]))
    array(2.)
    """
    try:
        L = np.linalg.cholesky((A + A.swapaxes(-1, -2)) / 2)
    except np.linalg.LinAlgError:
        lowest = np.linalg.eigvalsh((A + A.swapaxes(-1, -2)) / 2).min()
        raise ValueError(
            f"logdet: A is not positive definite, its smallest eigenvalue is "
            f"{lowest:.3g}: add a little more than that to its diagonal, if rounding "
            "made it so"
        ) from None
    return 2 * np.log(np.diagonal(L, axis1=-2, axis2=-1)).sum(-1)


@logdet.vjp
def logdet_vjp(d_out, A):
    r"""$\bar A = \bar y\,A^{-1}$: a logarithm's derivative, for matrices."""
    symmetric = (A + A.swapaxes(-1, -2)) / 2
    return d_out[..., None, None] * np.linalg.inv(symmetric)


def _singular(A):
    """Which matrix it is, in words."""
    flat = A.reshape(-1, *A.shape[-2:])
    ranks = np.linalg.matrix_rank(flat)
    which = f" (matrix {ranks.argmin()} of {len(flat)})" if len(flat) > 1 else ""
    return f"A{which} is singular: its rank is {ranks.min()} of {A.shape[-1]}"
