r"""Affine maps: a table of numbers applied to every token, and a table looked up.

`linear` multiplies by a weight matrix, `embedding` takes one row of it: the product
with a one-hot vector, without the product.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable, unbroadcast
from ..kernels import computed_by, lookup, products
from ..shapes import shapes
from ..sums import total
from . import demands


@differentiable
@shapes(x="... n_in", weight="n_out n_in", bias="n_out", returns="... n_out")
@computed_by(products.linear)
def linear(x, weight, bias=None):
    r"""A linear map and a shift: $y = x W^\top + b$, that is
    $y_o = b_o + \sum_i W_{oi}\, x_i$.

    x is (..., n_in), weight (n_out, n_in) as checkpoints store it, the result
    (..., n_out). Textbooks write $XW$ with W of (in, out): the transpose of this one.

    Source: [Cortes] 2.1. Oracle: torch.nn.functional.linear.

    >>> linear(np.array([1.0, 2.0]), np.array([[3.0, 4.0]]), np.array([0.5]))
    array([11.5])
    """
    out = x @ weight.T
    return out if bias is None else out + bias


@linear.vjp
def linear_vjp(d_out, x, weight, bias, needs):
    r"""$\bar x = \bar y\, W$, $\bar W = \bar y^\top x$ and $\bar b = \sum \bar y$, the
    sum over all tokens. What nobody needs, as of a frozen weight, costs nothing."""
    tokens = tuple(range(x.ndim - 1))
    return (
        d_out @ weight if "x" in needs else None,
        np.tensordot(d_out, x, (tokens, tokens)) if "weight" in needs else None,
        total(d_out, tokens) if "bias" in needs else None,
    )


@differentiable
@shapes(demands.sides_that_fit, a="... of numbers", b="...b of numbers")
def matmul(a, b):
    r"""The matrix product $C_{ij} = \sum_k A_{ik} B_{kj}$.

    a is (..., m, k), b (..., k, n), the result (..., m, n); leading axes broadcast. A
    vector is a row on the left and a column on the right, and the axis that this
    adds is taken away again.

    Source: [Cortes] 9.1. Oracle: torch.matmul.

    >>> matmul(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([10.0, 1.0]))
    array([12., 34.])
    """
    return np.matmul(a, b)


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
@shapes(
    demands.ids_of_rows,
    demands.padding_of_a_row,
    input="... of integers",
    weight="rows n",
    returns="... n",
    as_stored=True,
)
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
    return weight[input]


@embedding.vjp
@computed_by(lookup.embedding_vjp)
def embedding_vjp(d_out, input, weight, padding_idx):
    r"""$\bar E_t = \sum_{i:\, t_i = t} \bar y_i$: a row collects from each of its
    uses."""
    d_weight = np.zeros(weight.shape, d_out.dtype)
    np.add.at(d_weight, input, d_out)
    if padding_idx is not None:
        d_weight[padding_idx] = 0
    return None, d_weight
