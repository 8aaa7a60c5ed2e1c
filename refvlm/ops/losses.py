r"""Classification losses: how surprised the model is by the right answer.

The model gives each class a score, `softmax` makes them probabilities, and the loss
is minus the logarithm of what the right class got. With s the scores and y what is
asked (`targets.py`), $-\sum_c y_c \log p_c = (\sum_c y_c) \log \sum_c e^{s_c} -
\sum_c y_c s_c$: one pass over the exponentials, which are kept, for the gradient
needs them and nothing else.
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable
from ..shapes import shapes
from .probability import log_softmax
from .targets import Targets


@differentiable
@shapes(input="...x", target="...y of numbers", weight="c")
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

    A class outside 0 to c - 1 is an error, and so is a mean of no rows at all, which
    PyTorch answers with nan.

    Source: [Cortes] 6.3. Oracle: torch.nn.functional.cross_entropy.

    >>> cross_entropy(np.zeros((2, 4)), np.array([3, -100]))  # log 4
    array(1.38629436)
    """
    return cross_entropy_forward(
        input, target, weight, ignore_index, reduction, label_smoothing
    )[0]


def cross_entropy_forward(
    input,
    target,
    weight=None,
    ignore_index=-100,
    reduction="mean",
    label_smoothing=0.0,
):
    """The loss; and, of each row that counts, the exponentials and their sum."""
    asked = _asked(input, target, weight, ignore_index, reduction, label_smoothing)
    scores = _below_the_largest(asked.rows())
    wanted = asked.expected(scores)
    exponentials = np.exp(scores, out=scores)
    sums = exponentials.sum(axis=-1)
    losses = asked.mass() * np.log(sums) - wanted
    return asked.reduce(losses), (exponentials, sums)


@cross_entropy.vjp
def cross_entropy_vjp(
    d_out,
    input,
    target,
    weight,
    ignore_index,
    reduction,
    label_smoothing,
    saved=None,
    needs=("input", "target"),
):
    r"""$\bar x = (p - y)\,\bar L$: push the right score up by what its probability
    lacks of one, and every other down by the probability it has.

    With weights, p is multiplied by $\sum_c y_c$. A soft target has a gradient too,
    $\bar y = -(1 - e)\,w \odot \log p\,\bar L$.
    """
    asked = _asked(input, target, weight, ignore_index, reduction, label_smoothing)
    if saved is None:
        exponentials = np.exp(_below_the_largest(asked.rows()))
        saved = exponentials, exponentials.sum(axis=-1)
    exponentials, sums = saved
    d_losses = asked.spread(d_out)
    d_rows = exponentials * (d_losses * asked.mass() / sums)[:, None]
    asked.subtract_from(d_rows, d_losses)
    d_target = None
    if target.dtype.kind == "f" and "target" in needs:
        slope = log_softmax(asked.rows()) * d_losses[:, None]
        slope *= label_smoothing - 1
        slope = slope if weight is None else slope * asked.weight
        d_target = asked.like_input(slope)
    return asked.like_input(d_rows), d_target


@differentiable
@shapes(input="...x", target="...y of integers", weight="c")
def nll_loss(input, target, weight=None, ignore_index=-100, reduction="mean"):
    r"""Minus the log-probability of the right class: $-x_y$.

    Of `log_softmax(scores)` it is the cross-entropy of the scores. input is (n, c),
    (n, c, d...) or (c); target, weight and mean are those of `cross_entropy`.

    Source: [Cortes] 6.3. Oracle: torch.nn.functional.nll_loss.

    >>> nll_loss(np.log([[0.25, 0.75]]), np.array([1])).round(6)
    np.float64(0.287682)
    """
    asked = Targets("nll_loss", input, target, weight, ignore_index, reduction)
    return asked.reduce(-asked.expected(asked.rows()))


@nll_loss.vjp
def nll_loss_vjp(d_out, input, target, weight, ignore_index, reduction):
    r"""$\bar x_y = -\bar L$, and nothing for the others."""
    asked = Targets("nll_loss", input, target, weight, ignore_index, reduction)
    d_rows = np.zeros((asked.count, asked.n_classes), asked.dtype)
    asked.subtract_from(d_rows, asked.spread(d_out))
    return asked.like_input(d_rows)


def _asked(input, target, weight, ignore_index, reduction, label_smoothing):
    if not 0 <= label_smoothing <= 1:
        raise ValueError(
            f"cross_entropy: label_smoothing is from 0 to 1, not {label_smoothing!r}"
        )
    return Targets(
        "cross_entropy", input, target, weight, ignore_index, reduction, label_smoothing
    )


def _below_the_largest(rows):
    """The scores of each row minus its largest; of no rows, no scores."""
    return rows - rows.max(axis=-1, keepdims=True)
