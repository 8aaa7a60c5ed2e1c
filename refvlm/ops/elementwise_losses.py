r"""Losses that compare number by number: each entry of the input with its target.

What is compared decides the loss: a score with a yes or no, a number with a number,
a log-probability with a probability. All end the same way: the losses of the entries
are kept (`reduction="none"`), summed, or averaged over every entry there is.
"""

from __future__ import annotations

import math

import numpy as np

from ..autodiff import differentiable
from ..shapes import ShapeError, shapes

REDUCTIONS = ("none", "mean", "sum")


@differentiable
@shapes(input="...x", target="...y", weight="...w", pos_weight="...p")
def binary_cross_entropy_with_logits(
    input, target, weight=None, pos_weight=None, reduction="mean"
):
    r"""How surprising a yes or no is:
    $-w\,[\,a\,y \log\sigma(x) + (1 - y) \log(1 - \sigma(x))\,]$.

    x are scores, y is 1 for yes and 0 for no, or a probability between them; weight w
    and `pos_weight` a, which makes a missed yes dearer, broadcast to the shape of
    x. Both logarithms come from $\log(1 + e^{-|x|})$, which no score overflows.

    Source: [Cortes] 6.2.
    Oracle: torch.nn.functional.binary_cross_entropy_with_logits.

    >>> binary_cross_entropy_with_logits(np.array([0.0, 1000.0]), np.array([1.0, 1.0]))
    array(0.34657359)
    """
    _check_same("binary_cross_entropy_with_logits", input, target)
    rest = np.log1p(np.exp(-np.abs(input)))
    missed = np.maximum(-input, 0) + rest  # -log sigma(x)
    false_alarm = np.maximum(input, 0) + rest  # -log(1 - sigma(x))
    losses = _times(target, pos_weight) * missed + (1 - target) * false_alarm
    return reduce(_fitting(_times(losses, weight), input), reduction)


@binary_cross_entropy_with_logits.vjp
def binary_cross_entropy_with_logits_vjp(
    d_out, input, target, weight, pos_weight, reduction
):
    r"""$\bar x = w\,[\,(1 + (a - 1)\,y)\,\sigma(x) - a\,y\,]\,\bar L$: without weights,
    the probability minus the answer."""
    small = np.exp(-np.abs(input))
    yes = np.where(input >= 0, 1, small) / (1 + small)
    positive = _times(target, pos_weight)
    d_losses = _times(spread(d_out, input.shape, reduction), weight)
    d_input = d_losses * ((1 - target + positive) * yes - positive)
    d_target = d_losses * -input
    if pos_weight is not None:
        missed = np.maximum(-input, 0) + np.log1p(small)
        d_target += d_losses * (pos_weight - 1) * missed
    return d_input, d_target


@differentiable
@shapes(input="...x", target="...y")
def mse_loss(input, target, reduction="mean"):
    r"""The squared error: $(x - y)^2$.

    The mean is over all entries, not over the batch: twice as many features do not
    make twice the loss.

    Source: [Cortes] 11.3. Oracle: torch.nn.functional.mse_loss.

    >>> mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    array(2.)
    """
    _check_same("mse_loss", input, target)
    return reduce(np.square(input - target), reduction)


@mse_loss.vjp
def mse_loss_vjp(d_out, input, target, reduction):
    r"""$\bar x = 2\,(x - y)\,\bar L = -\bar y$."""
    d_input = 2 * spread(d_out, input.shape, reduction) * (input - target)
    return d_input, -d_input


@differentiable
@shapes(input="...x", target="...y")
def smooth_l1_loss(input, target, reduction="mean", beta=1.0):
    r"""Squared for small errors, absolute for large ones: $e^2 / 2\beta$ where
    $|e| < \beta$, else $|e| - \beta/2$, with $e = x - y$.

    The two pieces meet with the same value and the same slope. beta = 0 is the
    absolute error.

    Source: [DeepDive], which trains boxes and names no loss.
    Oracle: torch.nn.functional.smooth_l1_loss.

    >>> smooth_l1_loss(np.array([0.5, 3.0]), np.zeros(2), reduction="none")
    array([0.125, 2.5  ])
    """
    _check_beta(beta)
    _check_same("smooth_l1_loss", input, target)
    error = np.abs(input - target)
    if beta == 0:
        return reduce(error, reduction)
    near = np.minimum(error, float(beta))
    return reduce(near * near / (2 * float(beta)) + (error - near), reduction)


@smooth_l1_loss.vjp
def smooth_l1_loss_vjp(d_out, input, target, reduction, beta):
    r"""$\bar x = \operatorname{clip}(e/\beta, -1, 1)\,\bar L = -\bar y$."""
    error = input - target
    slope = np.sign(error) if beta == 0 else np.clip(error / float(beta), -1, 1)
    d_input = spread(d_out, input.shape, reduction) * slope
    return d_input, -d_input


@differentiable
@shapes(input="...x", target="...y")
def kl_div(input, target, reduction="mean", log_target=False):
    r"""The Kullback-Leibler divergence, entry by entry: $y\,(\log y - x)$.

    **The order is PyTorch's, and odd**: input x are the *log*-probabilities of the
    model q, target y the *probabilities* of the truth p (their logarithms too, if
    `log_target`). So `kl_div(log_q, p)` is $\mathrm{KL}(p \,\|\, q)$. Only
    "batchmean", the sum divided by the length of the first axis, is the divergence of
    a batch; "mean" divides by the number of classes too.

    Source: [Cortes] 7.4. Oracle: torch.nn.functional.kl_div.

    >>> log_q, p = np.log([[0.5, 0.5]]), np.array([[1.0, 0.0]])
    >>> kl_div(log_q, p, reduction="batchmean").round(6)
    np.float64(0.693147)
    """
    _check_same("kl_div", input, target)
    probabilities, logarithms = _both(target, log_target)
    losses = probabilities * _where_possible(probabilities, logarithms, input)
    return _reduce_by_rows(losses, reduction)


@kl_div.vjp
def kl_div_vjp(d_out, input, target, reduction, log_target):
    r"""$\bar x = -y\,\bar L$ and $\bar y = (\log y + 1 - x)\,\bar L$, which is
    multiplied by y where the target is its logarithm."""
    if reduction == "batchmean":
        d_terms = np.broadcast_to(d_out / len(input), input.shape)
    else:
        d_terms = spread(d_out, input.shape, reduction)
    probabilities, logarithms = _both(target, log_target)
    if log_target:
        slope = _where_possible(probabilities, logarithms + 1, input) * probabilities
    else:
        slope = logarithms + 1 - input
    return -d_terms * probabilities, d_terms * slope


def reduce(losses, reduction):
    """The losses themselves, their sum, or their mean."""
    check_reduction(reduction)
    if reduction == "none":
        return losses
    if reduction == "sum":
        return _sum(losses)
    if losses.size == 0:
        raise ValueError("there is no mean of no losses; reduction='sum' gives 0")
    return np.asarray(losses.mean())


def _sum(losses):
    wide = losses.sum(dtype=np.result_type(losses, np.float32))
    return np.asarray(wide, losses.dtype)


def spread(d_out, shape, reduction):
    """The gradient of each loss, from that of their reduction."""
    if reduction == "mean":
        d_out = d_out / math.prod(shape)
    return np.broadcast_to(d_out, shape)


def check_reduction(reduction, allowed=REDUCTIONS):
    if reduction not in allowed:
        raise ValueError(f"reduction is one of {', '.join(allowed)}, not {reduction!r}")


def _reduce_by_rows(losses, reduction):
    check_reduction(reduction, (*REDUCTIONS, "batchmean"))
    if reduction != "batchmean":
        return reduce(losses, reduction)
    if losses.ndim == 0 or len(losses) == 0:
        raise ValueError(f"reduction='batchmean' needs a batch, not {losses.shape}")
    return np.asarray(_sum(losses) / len(losses))


def _both(target, log_target):
    """The target as probabilities and as their logarithms."""
    if log_target:
        return np.exp(target), target
    with np.errstate(divide="ignore"):  # log 0, which counts as 0 log 0 = 0
        return target, np.log(target)


def _where_possible(probabilities, logarithms, input):
    """The difference of logarithms; what has probability 0 costs nothing."""
    with np.errstate(invalid="ignore"):  # both are log 0
        return np.where(probabilities == 0, 0, logarithms - input)


def _times(x, factor):
    return x if factor is None else x * factor


def _fitting(losses, input):
    if losses.shape != input.shape:
        raise ShapeError(
            f"binary_cross_entropy_with_logits: a weight makes {losses.shape} of "
            f"input {input.shape}; it has to broadcast to that shape"
        )
    return losses


def _check_same(function, input, target):
    if input.shape != target.shape:
        raise ShapeError(
            f"{function}: input is {input.shape} and target {target.shape}; each entry "
            "needs its own target"
        )


def _check_beta(beta):
    if not 0 <= beta < math.inf:
        raise ValueError(f"smooth_l1_loss: beta is a number from 0, not {beta!r}")
