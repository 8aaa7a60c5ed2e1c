r"""Affine maps: a table of numbers applied to every token, and a table looked up.

`linear` multiplies by a weight matrix, `embedding` takes one row of it: the product
with a one-hot vector, without the product.
"""

from __future__ import annotations

import math

import numpy as np

from ..autodiff import differentiable, unbroadcast
from ..parallel import even_blocks, in_parallel
from ..shapes import ShapeError, shapes

FEW_ROWS = 16  # a thinner product waits for memory, and BLAS shares that well itself
LARGE = 1 << 24  # multiplications that are worth handing out
COLUMNS = 1024  # at a time


@differentiable
@shapes(x="... n_in", weight="n_out n_in", bias="n_out", returns="... n_out")
def linear(x, weight, bias=None):
    r"""A linear map and a shift: $y = x W^\top + b$, that is
    $y_o = b_o + \sum_i W_{oi}\, x_i$.

    x is (..., n_in), weight (n_out, n_in) as checkpoints store it, the result
    (..., n_out). Textbooks write $XW$ with W of (in, out): the transpose of this one.

    Source: [Cortes] 2.1. Oracle: torch.nn.functional.linear.

    >>> linear(np.array([1.0, 2.0]), np.array([[3.0, 4.0]]), np.array([0.5]))
    array([11.5])
    """
    out = _product(_rows(x), weight)
    if bias is not None:
        out += bias
    return out.reshape(*x.shape[:-1], len(weight))


@linear.vjp
def linear_vjp(d_out, x, weight, bias, needs=("x", "weight", "bias")):
    r"""$\bar x = \bar y\, W$, $\bar W = \bar y^\top x$ and $\bar b = \sum \bar y$, the
    sum over all tokens."""
    d_x = d_weight = d_bias = None
    d_rows = _rows(d_out)
    if "x" in needs:
        d_x = (d_rows @ weight).reshape(x.shape)
    if "weight" in needs:
        d_weight = d_rows.T @ _rows(x)
    if bias is not None and "bias" in needs:
        d_bias = d_rows.sum(axis=0)
    return d_x, d_weight, d_bias


def _product(rows, weight):
    r"""$X W^\top$; of a large one each core takes some of the columns."""
    if len(rows) < FEW_ROWS or rows.size * len(weight) < LARGE:
        return rows @ weight.T
    out = np.empty((len(rows), len(weight)), np.result_type(rows, weight))
    in_parallel(
        lambda part: np.matmul(rows, weight[part].T, out=out[:, part]),
        even_blocks(len(weight), COLUMNS),
    )
    return out


def _rows(x):
    """All tokens below one another: one large product is faster than many small."""
    return x.reshape(math.prod(x.shape[:-1]), x.shape[-1])


@differentiable
@shapes(a="... of numbers", b="...b of numbers")
def matmul(a, b):
    r"""The matrix product $C_{ij} = \sum_k A_{ik} B_{kj}$.

    a is (..., m, k), b (..., k, n), the result (..., m, n); leading axes broadcast. A
    vector is a row on the left and a column on the right, and the axis that this
    adds is taken away again.

    Source: [Cortes] 9.1. Oracle: torch.matmul.

    >>> matmul(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0, 1.0]))
    array([12., 34.])
    """
    if a.ndim == 0 or b.ndim == 0:
        raise ShapeError(f"matmul: {a.shape} @ {b.shape} has a side without axes")
    summed = b.shape[max(b.ndim - 2, 0)]
    if a.shape[-1] != summed:
        raise ShapeError(
            f"matmul: {a.shape} @ {b.shape} sums over {a.shape[-1]} columns on the "
            f"left and {summed} rows on the right"
        )
    try:
        return np.asarray(np.matmul(a, b))
    except ValueError:
        raise ShapeError(
            f"matmul: the leading axes of {a.shape} @ {b.shape} do not broadcast"
        ) from None


@matmul.vjp
def matmul_vjp(d_out, a, b):
    r"""$\bar A = \bar C B^\top$ and $\bar B = A^\top \bar C$, summed over the leading
    axes along which a side was repeated."""
    left = a[None, :] if a.ndim == 1 else a
    right = b[:, None] if b.ndim == 1 else b
    d_out = np.expand_dims(d_out, -1) if b.ndim == 1 else d_out
    d_out = np.expand_dims(d_out, -2) if a.ndim == 1 else d_out
    d_left = np.matmul(d_out, right.swapaxes(-1, -2))
    d_right = np.matmul(left.swapaxes(-1, -2), d_out)
    return (
        unbroadcast(d_left, left.shape).reshape(a.shape),
        unbroadcast(d_right, right.shape).reshape(b.shape),
    )


@differentiable
@shapes(input="... of integers", weight="rows n", returns="... n", as_stored=True)
def embedding(input, weight, padding_idx=None):
    r"""Row $t$ of a table for each id $t$: $y = E_t$.

    input is (...) of integers, weight (rows, n), the result (..., n). An id outside
    the table is an error; so is a negative one, which would count from the end.
    `padding_idx` names a row that is looked up like any other but never learns.

    Source: [Cortes] 4.3. Oracle: torch.nn.functional.embedding.

    >>> embedding(np.array([2, 0]), np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]]))
    array([[4., 5.],
           [0., 1.]])
    """
    if padding_idx is not None:
        _row_of(padding_idx, weight)
    if input.size and not 0 <= input.min() <= input.max() < len(weight):
        wrong = input[(input < 0) | (input >= len(weight))].flat[0]
        raise ValueError(
            f"embedding: id {wrong} is not in a table of {len(weight)} rows, "
            f"0 to {len(weight) - 1}"
        )
    return np.take(weight, input, axis=0)


@embedding.vjp
def embedding_vjp(d_out, input, weight, padding_idx):
    r"""$\bar E_t = \sum_{i:\, t_i = t} \bar y_i$: a row collects from each of its uses.

    NumPy adds to scattered single numbers faster than to scattered rows, hence the
    flat places.
    """
    rows, n = weight.shape
    d_weight = np.zeros(rows * n, d_out.dtype)
    places = input.reshape(-1, 1).astype(np.intp) * n + np.arange(n)
    np.add.at(d_weight, places.reshape(-1), d_out.reshape(-1))
    d_weight = d_weight.reshape(rows, n)
    if padding_idx is not None:
        d_weight[_row_of(padding_idx, weight)] = 0
    return None, d_weight


def _row_of(padding_idx, weight):
    """padding_idx as a row, counted from the end where negative, as PyTorch does."""
    if not -len(weight) <= padding_idx < len(weight):
        raise ValueError(
            f"embedding: padding_idx {padding_idx} is not in a table of "
            f"{len(weight)} rows"
        )
    return padding_idx % len(weight)
