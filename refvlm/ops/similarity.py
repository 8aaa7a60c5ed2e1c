r"""Similarity: vectors of length one, and the angle between two of them.

A tower that embeds pictures and one that embeds texts are compared by direction
alone: `normalize` puts both on the unit sphere, where the inner product is the cosine.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable, unbroadcast
from ..shapes import shapes
from . import demands


@differentiable
@shapes(
    demands.length_has_a_power,
    demands.eps_is_a_size,
    x="...",
    dim="axes of x",
    returns="...",
)
def normalize(x, p=2.0, dim=1, eps=1e-12):
    r"""Divide by the length: $y = x / \max(\lVert x \rVert_p, \epsilon)$, along dim.

    p is any number: at infinity the length is the largest entry, at 0 it counts those
    that are not zero, and below 1 no triangle obeys it. A vector shorter than eps,
    such as zero, stays short.

    Source: [MicroVLM-V] 7.2. Oracle: torch.nn.functional.normalize.

    >>> normalize(np.array([3.0, 4.0]), dim=0)
    array([0.6, 0.8])
    """
    return x / np.maximum(length(x, p, dim), eps)


@normalize.vjp
def normalize_vjp(d_out, out, x, p, dim, eps):
    r"""$\bar x = (\bar y - s\,\langle \bar y, y\rangle)/\lVert x\rVert$ with the slope
    $s = \partial \lVert x\rVert / \partial x$ of the length, which is y itself for
    p = 2: what would only lengthen x is taken out. Below eps nothing is, and
    $\bar x = \bar y/\epsilon$.
    """
    dim = dim if x.ndim else 0  # of a number alone, be it in a tuple
    size, inner = length(x, p, dim), (d_out * out).sum(axis=dim, keepdims=True)
    lengthening = np.where(size < eps, 0, inner * slope_of_length(out, p, dim))
    return (d_out - lengthening) / np.maximum(size, eps)


def length(x, p, dim):
    r"""$\lVert x\rVert_p = \bigl(\sum_i |x_i|^p\bigr)^{1/p}$ along dim, which stays."""
    if x.ndim == 0:
        return length(x[None], p, 0)[0]
    return np.linalg.vector_norm(x, axis=dim, keepdims=True, ord=p)


def slope_of_length(unit, p, dim):
    r"""$s_i = \operatorname{sign}(x_i)\,(|x_i| / \lVert x\rVert_p)^{p-1}$; at infinity
    the largest entries share the slope, and a count has none."""
    if p == 2:
        return unit
    if p == 0:
        return np.zeros_like(unit)
    size = np.abs(unit)
    if np.isinf(p):
        far = size.max(dim, keepdims=True) if p > 0 else size.min(dim, keepdims=True)
        farthest = (size == far).astype(unit.dtype)
        return np.sign(unit) * farthest / farthest.sum(dim, keepdims=True)
    return np.sign(unit) * np.where(size == 0, 1, size) ** (p - 1)


@differentiable
@shapes(demands.eps_is_a_size, x1="...", x2="...", dim="axis of x1 x2")
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
    unit1, unit2 = normalize(x1, 2, dim, eps), normalize(x2, 2, dim, eps)
    return np.asarray((unit1 * unit2).sum(dim))


@cosine_similarity.vjp
def cosine_similarity_vjp(d_out, x1, x2, dim, eps):
    r"""$\bar a = \bar y\,(\hat b - y\,\hat a)/\lVert a\rVert$: turn a towards b, and by
    less the closer they are."""
    wide1, wide2 = np.broadcast_arrays(x1, x2)
    unit1, unit2 = normalize(wide1, 2, dim, eps), normalize(wide2, 2, dim, eps)
    d_out = np.expand_dims(d_out, dim)
    d_x1 = normalize_vjp(d_out * unit2, unit1, wide1, 2, dim, eps)
    d_x2 = normalize_vjp(d_out * unit1, unit2, wide2, 2, dim, eps)
    return unbroadcast(d_x1, x1.shape), unbroadcast(d_x2, x2.shape)


@shapes(demands.eps_is_a_size, a="... n d", b="... m d", returns="... n m")
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
