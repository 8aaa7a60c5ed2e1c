r"""The pseudo-inverse: the one X that does for any matrix what an inverse can.

Moore and Penrose: $X = A^+$ where $A X A = A$, $X A X = X$, and $A X$ and $X A$ are
symmetric. It solves $A x = b$ by least squares, with the shortest x that does so. The
singular values give it in one piece; products alone give it too, step by step.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from ..autodiff import differentiable, value_of
from ..shapes import shapes
from . import demands

MOST_STEPS = 128  # singular values that would take more are roundings of 0


@differentiable
@shapes(
    demands.finite_numbers, demands.a_relative_cutoff, A="... m n", returns="... n m"
)
def pinv(A, rtol=None):
    r"""The pseudo-inverse by singular values: of $A = U S V^\top$ it is
    $A^+ = V S^+ U^\top$, where $S^+$ holds $1/s$, and 0 for an s that counts as 0.

    A is (..., m, n), the result (..., n, m). What is at most rtol times the largest s
    counts as 0; an rtol of None is max(m, n) times the machine epsilon, as in PyTorch.

    Source: [MicroVLM-V] 5; [Penrose1955]. Oracle: torch.linalg.pinv.

    >>> pinv(np.array([[2.0, 0.0], [0.0, 0.0]]))
    array([[0.5, 0. ],
           [0. , 0. ]])
    """
    U, S, Vt = np.linalg.svd(A, full_matrices=False)
    rtol = max(A.shape[-2:]) * np.finfo(A.dtype).eps.item() if rtol is None else rtol
    counts = rtol * S.max(-1, keepdims=True, initial=0.0) < S
    inverse = np.divide(1, S, out=np.zeros_like(S), where=counts)
    return (Vt.swapaxes(-1, -2) * inverse[..., None, :]) @ U.swapaxes(-1, -2)


@pinv.vjp
def pinv_vjp(d_out, out, A):
    r"""With $X = A^+$, among matrices of one rank (where that changes, $A^+$ jumps),
    $\bar A = -X^\top \bar X X^\top + (I - AX)\,\bar X^\top X X^\top
    + X^\top X\,\bar X^\top (I - XA)$.

    The first term is that of the inverse; the others stand for the parts of the two
    spaces that A does not reach, and are 0 where there are none.
    """
    Xt, d_Xt = out.swapaxes(-1, -2), d_out.swapaxes(-1, -2)
    beyond_rows = d_Xt @ out @ Xt
    beyond_columns = Xt @ out @ d_Xt
    return (
        beyond_rows
        - A @ (out @ beyond_rows)
        + beyond_columns
        - (beyond_columns @ out) @ A
        - Xt @ d_out @ Xt
    )


@shapes(demands.finite_numbers, demands.squares_in_range, A="... m n", returns="...")
def safe_scale(A):
    r"""A scale from which `ben_israel_cohen` converges, whatever A is:
    $\alpha = 1 / (\lVert A \rVert_1 \lVert A \rVert_\infty)$.

    A is (..., m, n), the result (...). The norms are the largest sum of sizes down a
    column and along a row; the square of the largest singular value is at most their
    product, so that $\alpha s^2 \le 1$. Of zeros any scale is one, and it is 1.

    Source: [MicroVLM-V] 5, which has 5e-4 for every matrix. Oracle: numpy.linalg.norm.

    >>> safe_scale(np.diag([2.0, 1.0]))
    array(0.25)
    """
    largest_column = np.abs(A).sum(-2).max(-1, initial=0)
    largest_row = np.abs(A).sum(-1).max(-1, initial=0)
    product = largest_column * largest_row
    return 1 / np.where(product == 0, 1, product)


@shapes(
    demands.finite_numbers,
    demands.squares_in_range,
    demands.a_number_of_steps,
    demands.a_scale_that_converges,
    demands.a_tolerance,
    A="... m n",
    returns="... n m",
)
def ben_israel_cohen(A, steps=None, scale=None, tolerance=None):
    r"""The pseudo-inverse by products alone: $X \leftarrow 2X - X A X$ from
    $X_0 = \alpha A^\top$.

    A is (..., m, n), the result (..., n, m). After k steps, what is still missing in
    the direction of a singular value s is exactly $(1 - \alpha s^2)^{2^k}$ of it, so
    $0 < \alpha < 2/s_{\max}^2$ converges and any other scale diverges. `scale` is
    $\alpha$, `safe_scale` unless given.

    Given `steps`, there are that many. Given `tolerance`, it stops where a step changes
    X by no more than this share of X: the share that the result is then off is about
    its square. Given neither, the tolerance is the root of the machine epsilon. What
    is left of a rounding in a direction that A does not have doubles at every step
    [Soderstrom1974], so more steps than needed lose digits.

    Source: [MicroVLM-V] 5; [BenIsrael1966]. Oracle: torch.linalg.pinv.

    >>> ben_israel_cohen(np.diag([2.0, 1.0])).round(6)
    array([[0.5, 0. ],
           [0. , 1. ]])
    """
    if steps is None and tolerance is None:
        tolerance = math.sqrt(np.finfo(A.dtype).eps)
    for step, X in enumerate(_iterates(A, scale, tolerance)):
        _check_it_is_bounded(X, A)
        if step == steps:
            break
        if steps is None and step == MOST_STEPS:
            raise ValueError(
                f"ben_israel_cohen: X still changes after {MOST_STEPS} steps by more "
                f"than its tolerance, {tolerance:.1e}: A is too near to a smaller rank "
                "for so many digits. Give a larger one, or a number of steps, or take "
                "pinv(A)"
            )
    return X


@shapes(
    demands.finite_numbers,
    demands.squares_in_range,
    demands.a_number_of_steps,
    demands.a_scale_that_converges,
    A="... m n",
    returns="... steps",
)
def ben_israel_cohen_residuals(A, steps, scale=None):
    r"""How far `ben_israel_cohen` is after each step:
    $\lVert A - A X_k A \rVert_F / \lVert A \rVert_F$ for k = 0, 1, ..., steps.

    A is (..., m, n), the result (..., steps + 1): the first of Penrose's conditions.

    Source: [MicroVLM-V] 5. Oracle: $(1 - \alpha s^2)^{2^k}$ of each singular value.

    >>> ben_israel_cohen_residuals(np.diag([2.0, 2.0]), steps=2, scale=0.125)
    array([0.5   , 0.25  , 0.0625])
    """
    iterates = itertools.islice(_iterates(A, scale), steps + 1)
    residuals = np.concatenate([_size(A - A @ X @ A) for X in iterates], -1)
    size = _size(A)
    return residuals[..., 0, :] / np.where(size == 0, 1, size)[..., 0]


def _iterates(A, scale, tolerance=None):
    """X_0, X_1, ...: without end, or given a tolerance until every matrix rests. One
    that a step changed by no more than that stays as it is, and waits for the others.
    """
    scale = safe_scale(value_of(A))[..., None, None] if scale is None else scale
    X = scale * A.swapaxes(-1, -2)
    rests: np.ndarray = np.zeros((*X.shape[:-2], 1, 1), bool)
    yield X
    while tolerance is None or not rests.all():
        change = X - X @ A @ X  # 2 X - X A X is X + change
        X = X + np.where(rests, 0, change)
        yield X
        if tolerance is not None:
            rests = rests | (_size(change) <= tolerance * _size(X))


def _check_it_is_bounded(X, A):
    """On paper the singular values of $X_k A$ lie between 0 and 1."""
    squares = np.square(value_of(X) @ value_of(A)).sum((-2, -1))
    if (squares > 4 * min(A.shape[-2:])).any():
        raise ValueError(
            "ben_israel_cohen: roundings have outgrown X: A is too near to a smaller "
            "rank for so many steps. Give fewer, or a larger tolerance, or take pinv(A)"
        )


def _size(X):
    """Frobenius' norm of each matrix, (..., 1, 1)."""
    return np.sqrt(np.square(value_of(X)).sum((-2, -1), keepdims=True))
