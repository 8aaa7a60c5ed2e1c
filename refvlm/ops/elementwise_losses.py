r"""Losses that compare number by number: each entry of the input with its target.

What is compared decides the loss: a score with a yes or no, a number with a number,
a log-probability with a probability. All end the same way: the losses of the entries
are kept (`reduction="none"`), summed, or averaged over every entry there is.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable
from ..shapes import shapes
from . import demands
from .reductions import reduced, spread


@differentiable
@shapes(
    demands.a_target_for_each,
    demands.weights_repeat_over_scores,
    input="...x",
    target="...y",
    weight="...w",
    pos_weight="...p",
)
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
    rest = np.log1p(np.exp(-np.abs(input)))
    missed = np.maximum(-input, 0) + rest  # -log sigma(x)
    false_alarm = np.maximum(input, 0) + rest  # -log(1 - sigma(x))
    yes = target if pos_weight is None else pos_weight * target
    losses = yes * missed + (1 - target) * false_alarm
    losses = losses if weight is None else weight * losses
    return reduced(losses, reduction)


@binary_cross_entropy_with_logits.vjp
def binary_cross_entropy_with_logits_vjp(
    d_out, input, target, weight, pos_weight, reduction
):
    r"""$\bar x = w\,[\,(1 + (a - 1)\,y)\,\sigma(x) - a\,y\,]\,\bar L$: without weights,
    the probability minus the answer. And
    $\bar y = w\,[\,\log(1 - \sigma(x)) - a \log\sigma(x)\,]\,\bar L$.
    """
    small = np.exp(-np.abs(input))
    probability = np.where(input >= 0, 1, small) / (1 + small)
    missed = np.maximum(-input, 0) + np.log1p(small)
    false_alarm = np.maximum(input, 0) + np.log1p(small)
    a = 1 if pos_weight is None else pos_weight
    d_losses = spread(d_out, input.shape, reduction)
    d_losses = d_losses if weight is None else weight * d_losses
    d_input = d_losses * ((1 + (a - 1) * target) * probability - a * target)
    return d_input, d_losses * (a * missed - false_alarm)


@differentiable
@shapes(
    demands.a_target_for_each,
    input="...x",
    target="...y",
)
def mse_loss(input, target, reduction="mean"):
    r"""The squared error: $(x - y)^2$.

    The mean is over all entries, not over the batch: twice as many features do not
    make twice the loss.

    Source: [Cortes] 11.3. Oracle: torch.nn.functional.mse_loss.

    >>> mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    array(2.)
    """
    return reduced(np.square(input - target), reduction)


@mse_loss.vjp
def mse_loss_vjp(d_out, input, target, reduction):
    r"""$\bar x = 2\,(x - y)\,\bar L = -\bar y$."""
    d_losses = spread(d_out, input.shape, reduction)
    d_input = 2 * (input - target) * d_losses
    return d_input, -d_input


@differentiable
@shapes(
    demands.a_target_for_each,
    demands.border_is_a_size,
    input="...x",
    target="...y",
)
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
    error = np.abs(input - target)
    if beta == 0:
        return reduced(error, reduction)
    near, far = np.square(error) / (2 * beta), error - beta / 2
    return reduced(np.where(error < beta, near, far), reduction)


@smooth_l1_loss.vjp
def smooth_l1_loss_vjp(d_out, input, target, reduction, beta):
    r"""$\bar x = \operatorname{clip}(e/\beta, -1, 1)\,\bar L = -\bar y$."""
    error = input - target
    slope = np.sign(error) if beta == 0 else np.clip(error / beta, -1, 1)
    d_input = slope * spread(d_out, input.shape, reduction)
    return d_input, -d_input


@differentiable
@shapes(
    demands.a_probability_for_each,
    input="...x",
    target="...y",
)
def kl_div(input, target, reduction="mean", log_target=False):
    r"""The Kullback-Leibler divergence, entry by entry: $y\,(\log y - x)$.

    **The order is PyTorch's, and odd**: input x are the *log*-probabilities of the
    model q, target y the *probabilities* of the truth p (their logarithms too, if
    `log_target`). So `kl_div(log_q, p)` is $\mathrm{KL}(p \,\|\, q)$. Only
    "batchmean", the sum divided by the length of the first axis, is the divergence of
    a batch; "mean" divides by the number of classes too. What the truth excludes costs
    nothing, $0 \log 0 = 0$, also where the model excludes it, which is nan in PyTorch.

    Source: [Cortes] 7.4. Oracle: torch.nn.functional.kl_div.

    >>> log_q, p = np.log([[0.5, 0.5]]), np.array([[1.0, 0.0]])
    >>> kl_div(log_q, p, reduction="batchmean").round(6)
    np.float64(0.693147)
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # log 0, and log 0 - log 0
        y, log_y = (np.exp(target), target) if log_target else (target, np.log(target))
        losses = y * np.where(y == 0, 0, log_y - input)
    return reduced(losses, reduction)


@kl_div.vjp
def kl_div_vjp(d_out, input, target, reduction, log_target):
    r"""$\bar x = -y\,\bar L$ and $\bar y = (\log y + 1 - x)\,\bar L$, which is
    multiplied by y where the target is its logarithm."""
    d_losses = spread(d_out, input.shape, reduction)
    with np.errstate(divide="ignore", invalid="ignore"):
        y, log_y = (np.exp(target), target) if log_target else (target, np.log(target))
        slope = log_y + 1 - input
    if log_target:
        slope = y * np.where(y == 0, 0, slope)
    return -y * d_losses, slope * d_losses
