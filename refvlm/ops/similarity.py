r"""Similarity: vectors of length one, and the angle between two of them.

A tower that embeds pictures and one that embeds texts are compared by direction
alone: `normalize` puts both on the unit sphere, where the inner product is the cosine.
"""

from __future__ import annotations

from numbers import Real

import numpy as np

from ..autodiff import differentiable, unbroadcast
from ..shapes import shapes


@differentiable
@shapes(x="...", dim="axes of x", returns="...")
def normalize(x, p=2.0, dim=1, eps=1e-12):
    r"""Divide by the length: $y = x / \max(\lVert x \rVert_p, \epsilon)$, along dim.

    p is a number from 1. A vector shorter than eps, such as zero, stays short.

    Source: [MicroVLM-V] 7.2. Oracle: torch.nn.functional.normalize.

    >>> normalize(np.array([3.0, 4.0]), dim=0)
    array([0.6, 0.8])
    """
    return x / np.maximum(_length(x, p, dim), float(eps))


@normalize.vjp
def normalize_vjp(d_out, out, x, p, dim, eps):
    r"""$\bar x = (\bar y - s\,\langle \bar y, y\rangle)/\lVert x\rVert$ with
    $s = \operatorname{sign}(y)\,|y|^{p-1}$, which is y itself for p = 2: what would
    only lengthen x is taken out. Below eps nothing is, and $\bar x = \bar y/\epsilon$.
    """
    length = _length(x, p, dim)
    inner = (d_out * out).sum(axis=dim, keepdims=True)
    towards = out if p == 2 else np.sign(out) * np.abs(out) ** (p - 1)
    d_x = d_out - np.where(length < eps, 0, inner) * towards
    return d_x / np.maximum(length, float(eps))


def _length(x, p, dim):
    if not isinstance(p, Real) or not 1 <= p < np.inf:
        raise ValueError(f"normalize: p is a finite number from 1, not {p!r}")
    wide = np.abs(x, dtype=np.result_type(x, np.float32))  # half holds few squares
    powers = np.square(wide) if p == 2 else wide**p
    total = powers.sum(axis=dim, keepdims=True)
    length = np.sqrt(total) if p == 2 else total ** (1 / p)
    return length.astype(x.dtype, copy=False)


@differentiable
@shapes(x1="...", x2="...", dim="axis of x1 x2")
def cosine_similarity(x1, x2, dim=1, eps=1e-8):
    r"""The cosine of the angle between two vectors:
    $\langle a, b\rangle \,/\, (\max(\lVert a\rVert, \epsilon)
    \max(\lVert b\rVert, \epsilon))$, along dim.

    The two broadcast, and the result is without dim. A zero vector has no direction
    and similarity 0 to everything.

    Source: [Cortes] 1.1. Oracle: torch.nn.functional.cosine_similarity.

    >>> cosine_similarity(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]])).round(4)
    array([0.7071])
    """
    x1, x2 = np.broadcast_arrays(x1, x2)
    unit1 = normalize(x1, dim=dim, eps=eps)
    return np.asarray((unit1 * normalize(x2, dim=dim, eps=eps)).sum(axis=dim))


@cosine_similarity.vjp
def cosine_similarity_vjp(d_out, x1, x2, dim, eps):
    r"""$\bar a = \bar y\,(\hat b - y\,\hat a)/\lVert a\rVert$: turn a towards b, and by
    less the closer they are."""
    wide1, wide2 = np.broadcast_arrays(x1, x2)
    unit1 = normalize(wide1, dim=dim, eps=eps)
    unit2 = normalize(wide2, dim=dim, eps=eps)
    d_out = np.expand_dims(d_out, dim)
    d_x1 = normalize_vjp(d_out * unit2, unit1, wide1, 2, dim, eps)
    d_x2 = normalize_vjp(d_out * unit1, unit2, wide2, 2, dim, eps)
    return unbroadcast(d_x1, x1.shape), unbroadcast(d_x2, x2.shape)


@shapes(a="... n d", b="... m d", returns="... n m")
def cosine_similarity_matrix(a, b, eps=1e-8):
    r"""Every row of a against every row of b: $S_{ij} = \hat a_i \cdot \hat b_j$.

    a is (..., n, d), b (..., m, d), the result (..., n, m): with a batch of pictures
    and a batch of texts, the matrix that contrastive learning sharpens along its
    diagonal. One matrix product.

    Source: [Cortes] 6.1. Oracle: torch.nn.functional.cosine_similarity of a[:, None]
    and b[None, :], along the last axis.

    >>> cosine_similarity_matrix(np.eye(2), np.array([[5.0, 0.0]]))
    array([[1.],
           [0.]])
    """
    rows, columns = normalize(a, dim=-1, eps=eps), normalize(b, dim=-1, eps=eps)
    return rows @ columns.swapaxes(-1, -2)
