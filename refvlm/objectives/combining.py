r"""Several objectives, one number: a gradient is of a single loss.

Weights that are set by hand are a choice. Weights that are learnt need a price, or the
optimiser would find the cheapest answer, to weigh every loss by nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .. import ops
from ..autodiff import value_of
from ..shapes import ShapeError


def weighted_sum(losses: Sequence, weights: Sequence[float]):
    r"""$L = \sum_i \lambda_i L_i$, with weights that are given.

    Source: [Cortes] 6.6; [MicroVLM-V] 7, total loss. Oracle: torch arithmetic.

    >>> weighted_sum([np.array(2.0), np.array(10.0)], [1.0, 0.5])
    np.float64(7.0)
    """
    if len(losses) != len(weights) or not losses:
        raise ValueError(
            f"weighted_sum: {len(losses)} losses and {len(weights)} weights; each loss "
            "needs one"
        )
    for loss in losses:
        if value_of(loss).shape != ():
            raise ShapeError(
                f"weighted_sum: a loss is one number, not {value_of(loss).shape}"
            )
    first, *rest = [loss * float(weight) for loss, weight in zip(losses, weights)]
    return sum(rest, start=first)


def uncertainty_weighting(losses: Sequence, log_variances):
    r"""Learn how much each loss counts:
    $L = \sum_i \left(\frac{L_i}{2\sigma_i^2} + \log \sigma_i\right)$, with the
    parameters $u_i = \log \sigma_i^2$.

    A loss that stays large is taken to be noisy, and counts less; the logarithm
    is the price of saying so. `log_variances` (n) start at 0 and are learnt with
    the model. The best for given losses is $\sigma_i^2 = L_i$, where the sum is
    $\frac12 \sum_i (1 + \log L_i)$. Each loss has to stay above zero.

    Source: [Cortes] 6.6. Oracle: torch arithmetic.

    >>> uncertainty_weighting([np.array(2.0), np.array(4.0)], np.zeros(2))
    np.float64(3.0)
    """
    if log_variances.shape != (len(losses),):
        raise ShapeError(
            f"uncertainty_weighting: {len(losses)} losses, but log_variances are "
            f"{log_variances.shape}"
        )
    stacked = np.stack(losses)
    if stacked.shape != log_variances.shape:
        raise ShapeError("uncertainty_weighting: a loss is one number, not an array")
    return (stacked * ops.exp(-log_variances) + log_variances).sum() * 0.5
