r"""Probabilities from scores, and their logarithms.

All three functions rest on one fact: adding a constant to every score changes
nothing but the log-sum-exp, and that by the constant. So the largest score is
subtracted first, and no exponential overflows.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable
from ..shapes import shapes


@differentiable
@shapes(scores="...", dim="axis of scores", returns="...")
def softmax(scores, dim=-1):
    r"""Probabilities from scores:
    $\operatorname{softmax}(s)_i = e^{s_i} / \sum_j e^{s_j}$.

    Each slice along dim sums to one. Where every score of a slice is -inf, or one is
    +inf, the quotient is undefined and the answer nan, as in PyTorch.

    Source: [Cortes] 2.1. Oracle: torch.nn.functional.softmax.

    >>> softmax(np.array([0.0, 0.0]))
    array([0.5, 0.5])
    """
    weights = scores - scores.max(axis=dim, keepdims=True, initial=-np.inf)
    np.exp(weights, out=weights)
    weights /= weights.sum(axis=dim, keepdims=True)
    return weights


@softmax.vjp
def softmax_vjp(d_out, out, dim):
    r"""With $p$ the result, $\bar s = p \odot (\bar p - \langle \bar p, p\rangle)$."""
    return out * (d_out - (d_out * out).sum(axis=dim, keepdims=True))


@differentiable
@shapes(scores="...", dim="axis of scores", returns="...")
def log_softmax(scores, dim=-1):
    r"""Log-probabilities from scores: $\log p_i = s_i - \log \sum_j e^{s_j}$.

    The logarithm of `softmax` where that is not yet zero, and finite far beyond: a
    probability of $e^{-1000}$ is 0 in any float, its logarithm is -1000.

    Source: [Cortes] 6.1. Oracle: torch.nn.functional.log_softmax.

    >>> log_softmax(np.array([0.0, 1000.0]))
    array([-1000.,     0.])
    """
    shifted = scores - scores.max(axis=dim, keepdims=True, initial=-np.inf)
    sums = np.exp(shifted).sum(axis=dim, keepdims=True)
    with np.errstate(divide="ignore"):  # of no scores at all
        shifted -= np.log(sums)
    return shifted


@log_softmax.vjp
def log_softmax_vjp(d_out, out, dim):
    r"""$\bar s = \bar y - p \sum_i \bar y_i$ with $p = e^{y}$."""
    return d_out - np.exp(out) * d_out.sum(axis=dim, keepdims=True)


@differentiable
@shapes(x="...", dim="axes of x")
def logsumexp(x, dim, keepdim=False):
    r"""The soft maximum: $\log \sum_j e^{x_j}$, never below the largest $x_j$.

    dim is an axis or a tuple of them. A slice of nothing but -inf gives -inf, the
    logarithm of zero; one with +inf gives +inf.

    Source: [Cortes] 6.1. Oracle: torch.logsumexp.

    >>> logsumexp(np.array([1000.0, 1000.0]), dim=0)
    array(1000.69314718)
    """
    top = x.max(axis=dim, keepdims=True, initial=-np.inf)
    top = np.where(np.isinf(top), 0, top)  # inf - inf would be nan
    sums = np.exp(x - top).sum(axis=dim, keepdims=True)
    with np.errstate(divide="ignore"):
        out = np.log(sums) + top
    return out if keepdim else np.asarray(out.squeeze(axis=dim))


@logsumexp.vjp
def logsumexp_vjp(d_out, out, x, dim, keepdim):
    r"""$\bar x_i = p_i\,\bar y$ with $p_i = e^{x_i - y}$, the softmax."""
    if not keepdim:
        d_out, out = np.expand_dims(d_out, dim), np.expand_dims(out, dim)
    return np.exp(x - out) * d_out
