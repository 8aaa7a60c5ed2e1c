r"""Classification losses: how surprised the model is by the right answer.

The model gives each class a score, `softmax` makes them probabilities, and the loss
is minus the logarithm of what the right class got. One right class is short for the
shares y that are one there and zero elsewhere; class weights scale them, smoothing
lifts them off zero, and a soft target gives them all. Then $L = -\sum_c y_c \log p_c$.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable
from ..kernels import classification, computed_by
from ..shapes import shapes
from . import demands
from .probability import log_softmax, softmax
from .reductions import reduced, spread


@differentiable
@shapes(
    demands.smoothing_is_a_share,
    demands.a_target_for_each_row,
    input="...x",
    target="...y of numbers",
    weight="c",
)
@computed_by(classification.cross_entropy)
def cross_entropy(
    input,
    target,
    weight=None,
    ignore_index=-100,
    reduction="mean",
    label_smoothing=0.0,
):
    r"""The surprise at the right class y: $-\log p_y$ with $p = \mathrm{softmax}(x)$;
    at a distribution over classes: $-\sum_c y_c \log p_c$.

    input x is (n, c), (n, c, d...) with the classes second, or (c). target holds a
    class for each row, (n, d...), or a probability for each class, in the shape of x.
    A row whose class is `ignore_index` is never read. `weight` w, one number for each
    class, multiplies its term. Smoothing by e mixes the target with the uniform one:
    $(1 - e)\,y + e/c$. The mean over classes is $\sum_i L_i / \sum_i w_{y_i}$ over the
    rows that count; over distributions it is that of all rows.

    What is not asked for costs nothing, be it impossible: $0 \log 0 = 0$, which is nan
    in PyTorch where the target is a distribution. A class outside 0 to c - 1 is an
    error, and so is a mean of no rows at all, which PyTorch answers with nan.

    Source: [Cortes] 6.3. Oracle: torch.nn.functional.cross_entropy.

    >>> cross_entropy(np.zeros((2, 4)), np.array([3, -100]))  # log 4
    array(1.38629436)
    """
    axis = 0 if input.ndim == 1 else 1
    y, count = shares(input, target, weight, ignore_index, label_smoothing)
    surprise = np.where(y == 0, 0, -log_softmax(input, axis))
    return reduced((y * surprise).sum(axis), reduction, count)


@cross_entropy.vjp
@computed_by(classification.cross_entropy_vjp)
def cross_entropy_vjp(
    d_out,
    input,
    target,
    weight,
    ignore_index,
    reduction,
    label_smoothing,
    needs,
    exponentials=None,
):
    r"""$\bar x = (p - y)\,\bar L$: push the right score up by what its probability
    lacks of one, and every other down by the probability it has.

    With weights, p is multiplied by $\sum_c y_c$. A soft target has a gradient too,
    $\bar y = -(1 - e)\,w \odot \log p\,\bar L$.
    """
    axis = 0 if input.ndim == 1 else 1
    y, count = shares(input, target, weight, ignore_index, label_smoothing)
    mass = y.sum(axis, keepdims=True)
    d_losses = spread(d_out, mass.squeeze(axis).shape, reduction, count)
    d_losses = np.expand_dims(d_losses, axis)
    d_input = np.where(mass == 0, 0, mass * softmax(input, axis) - y) * d_losses
    if "target" not in needs:
        return d_input, None
    slope = (label_smoothing - 1) * log_softmax(input, axis) * d_losses
    if weight is not None:
        slope = np.moveaxis(np.moveaxis(slope, axis, -1) * weight, -1, axis)
    return d_input, slope


@differentiable
@shapes(
    demands.a_target_for_each_row,
    input="...x",
    target="...y of integers",
    weight="c",
)
@computed_by(classification.nll_loss)
def nll_loss(input, target, weight=None, ignore_index=-100, reduction="mean"):
    r"""Minus the log-probability of the right class: $-x_y$.

    Of `log_softmax(scores)` it is the cross-entropy of the scores. input is (n, c),
    (n, c, d...) or (c); target, weight and mean are those of `cross_entropy`.

    Source: [Cortes] 6.3. Oracle: torch.nn.functional.nll_loss.

    >>> nll_loss(np.log([[0.25, 0.75]]), np.array([1])).round(6)
    np.float64(0.287682)
    """
    axis = 0 if input.ndim == 1 else 1
    y, count = shares(input, target, weight, ignore_index)
    surprise = np.where(y == 0, 0, -input)
    return reduced((y * surprise).sum(axis), reduction, count)


@nll_loss.vjp
@computed_by(classification.nll_loss_vjp)
def nll_loss_vjp(d_out, input, target, weight, ignore_index, reduction):
    r"""$\bar x_y = -\bar L$, and nothing for the others."""
    axis = 0 if input.ndim == 1 else 1
    y, count = shares(input, target, weight, ignore_index)
    d_losses = spread(d_out, target.shape, reduction, count)
    return -y * np.expand_dims(d_losses, axis)


def shares(input, target, weight, ignore_index, smoothing=0.0):
    r"""The shares $y_c$ that are asked of the classes, in the shape of the input, and
    what a mean of the rows divides by.

    Of a class: one-hot, smoothed, weighted, and zero in every row that is ignored.
    """
    axis = 0 if input.ndim == 1 else 1
    n_classes = input.shape[axis]
    weight = np.ones(n_classes, input.dtype) if weight is None else weight
    if target.dtype.kind == "f":
        y = np.moveaxis(target, axis, -1)
        y = (1 - smoothing) * y + smoothing / n_classes
        count = input.size // n_classes
    else:
        is_class = target[..., None] == np.arange(n_classes)
        counts = (target != ignore_index)[..., None]
        y = (1 - smoothing) * is_class.astype(input.dtype) + smoothing / n_classes
        y, count = counts * y, np.where(counts & is_class, weight, 0).sum()
    return np.moveaxis(np.where(y == 0, 0, y * weight), -1, axis), count
