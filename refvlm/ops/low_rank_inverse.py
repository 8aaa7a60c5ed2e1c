r"""The inverse of a matrix that has changed a little: of rank one, or of rank k.

Who has $A^{-1}$ needs no new inverse for $A + u v^\top$: the inverse changes by a
matrix of rank one, too. That takes n^2 products instead of n^3.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import value_of
from ..shapes import shapes
from .linear_algebra import solve


@shapes(inverse="... n n", u="... n", v="... n", returns="... n n")
def sherman_morrison(inverse, u, v):
    r"""The inverse after a change of rank one:
    $(A + u v^\top)^{-1} = A^{-1} - A^{-1} u\,v^\top A^{-1} / (1 + v^\top A^{-1} u)$.

    inverse is $A^{-1}$, (..., n, n); u and v are (..., n). Where $1 + v^\top A^{-1} u$
    is 0, the changed matrix has no inverse, and that is an error.

    Source: [MicroVLM-V] 5; [Sherman1950]. Oracle: numpy.linalg.inv.

    >>> sherman_morrison(np.eye(2), np.array([1.0, 0.0]), np.array([1.0, 0.0]))
    array([[0.5, 0. ],
           [0. , 1. ]])
    """
    column = inverse @ u[..., :, None]
    row = v[..., None, :] @ inverse
    pivot = 1 + v[..., None, :] @ column
    _check_pivot(value_of(pivot), value_of(v), value_of(column))
    return inverse - column @ row / pivot


@shapes(inverse="... n n", u="... n k", core="... k k", v="... k n", returns="... n n")
def woodbury(inverse, u, core, v):
    r"""The inverse after a change of rank k:
    $(A + U C V)^{-1} = A^{-1} - A^{-1} U\,(I + C V A^{-1} U)^{-1}\, C V A^{-1}$.

    inverse is $A^{-1}$, (..., n, n); u is U, (..., n, k); core is C, (..., k, k), which
    needs no inverse of its own; v is V, (..., k, n). A matrix of k rows is solved
    instead of one of n. Where it is singular so is $A + UCV$, and that is an error.

    Source: [MicroVLM-V] 5; [Hager1989]. Oracle: numpy.linalg.inv.

    >>> u = np.array([[1.0], [0.0]])
    >>> woodbury(np.eye(2), u, np.array([[3.0]]), u.T)
    array([[0.25, 0.  ],
           [0.  , 1.  ]])
    """
    row = core @ v @ inverse
    capacitance = np.eye(core.shape[-1], dtype=core.dtype) + row @ u
    _check_capacitance(*map(value_of, (capacitance, row, u)))
    return inverse - inverse @ u @ solve(capacitance, row)


def _check_pivot(pivot, v, column):
    """Not 0, nor what rounding makes of 0."""
    rounding = np.abs(v)[..., None, :] @ np.abs(column) + 1
    broken = np.abs(pivot) <= 4 * np.finfo(pivot.dtype).eps * rounding
    if broken.any():
        raise ValueError(
            f"sherman_morrison: 1 + v^T A^-1 u is 0{_which(broken[..., 0, 0])}: "
            "A + u v^T is singular and has no inverse, take less of u"
        )


def _check_capacitance(capacitance, row, u):
    """Of full rank, by more than rounding leaves of I + C V A^-1 U."""
    if not capacitance.size or not np.isfinite(capacitance).all():
        return
    rounding = (np.abs(row) @ np.abs(u)).sum((-2, -1)) + 1
    smallest = np.linalg.norm(capacitance, -2, (-2, -1))
    broken = smallest <= 4 * np.finfo(capacitance.dtype).eps * rounding
    if broken.any():
        raise ValueError(
            f"woodbury: I + C V A^-1 U is singular{_which(broken)}: A + U C V has no "
            "inverse, take less of U"
        )


def _which(broken):
    """The place of the first of several, in words."""
    first = int(broken.argmax())
    return f" (matrix {first} of {broken.size})" if broken.size > 1 else ""
