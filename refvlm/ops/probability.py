r"""Probabilities from scores, and their logarithms.

The first three functions rest on one fact: adding a constant to every score changes
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
    weights = np.exp(scores - scores.max(dim, keepdims=True, initial=-np.inf))
    return weights / weights.sum(dim, keepdims=True)


@softmax.vjp
def softmax_vjp(d_out, out, dim):
    r"""With $p$ the result, $\bar s = p \odot (\bar p - \langle \bar p, p\rangle)$."""
    return out * (d_out - (d_out * out).sum(dim, keepdims=True))


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
    shifted = scores - scores.max(dim, keepdims=True, initial=-np.inf)
    with np.errstate(divide="ignore"):  # the logarithm of a sum of no scores at all
        return shifted - np.log(np.exp(shifted).sum(dim, keepdims=True))


@log_softmax.vjp
def log_softmax_vjp(d_out, out, dim):
    r"""$\bar s = \bar y - p \sum_i \bar y_i$ with $p = e^{y}$."""
    return d_out - np.exp(out) * d_out.sum(dim, keepdims=True)


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
    dim = dim if x.ndim else 0  # of a number alone, be it in a tuple
    top = x.max(dim, keepdims=True, initial=-np.inf)
    top = np.where(np.isinf(top), 0, top)  # inf - inf would be nan
    with np.errstate(divide="ignore"):
        out = top + np.log(np.exp(x - top).sum(dim, keepdims=True))
    return out if keepdim else np.squeeze(out, dim)


@logsumexp.vjp
def logsumexp_vjp(d_out, out, x, dim, keepdim):
    r"""$\bar x_i = p_i\,\bar y$ with $p_i = e^{x_i - y}$, the softmax."""
    if not keepdim:
        d_out, out = np.expand_dims(d_out, dim), np.expand_dims(out, dim)
    return (np.exp(x - out) * d_out).reshape(x.shape)


@differentiable
@shapes(input="...", returns="...")
def exp(input):
    r"""What makes a positive number of any number: $y = e^x$.

    A temperature, a variance, a scale must be positive, and an optimiser knows no such
    rule. So it learns the logarithm. What is too large for the dtype is inf.

    Source: [Cortes] 6.6, whose variances have to be positive. Oracle: torch.exp.

    >>> exp(np.array([0.0, np.log(2.0)]))
    array([1., 2.])
    """
    with np.errstate(over="ignore"):
        return np.exp(input)


@exp.vjp
def exp_vjp(d_out, out):
    r"""$\bar x = y\,\bar y$: the exponential is its own slope."""
    return d_out * out


@differentiable
@shapes(input="...", returns="...")
def log(input):
    r"""The number whose exponential it is: $y = \log x$, $-\infty$ at 0.

    A negative number has no real logarithm, and gets NaN, as in PyTorch.

    Source: [MicroVLM-V] 7.3, whose variances are compared by their logarithms.
    Oracle: torch.log.

    >>> log(np.array([1.0, np.exp(2.0)]))
    array([0., 2.])
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(input)


@log.vjp
def log_vjp(d_out, input):
    r"""$\bar x = \bar y / x$."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return d_out / input
