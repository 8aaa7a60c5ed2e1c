"""What a forward pass needs while a network learns, and what it leaves behind.

Inference depends on pixels and weights alone. Learning needs two things more: noise,
and a place for the statistics that batch normalisation gathers on the way. Both are
in a `Training`, which the caller makes and hands down; where it is None, nothing is
random and nothing is collected.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from .. import ops
from ..autodiff import value_of

_TERMS = ("running_mean", "running_var", "weight", "bias")


@dataclass
class Training:
    """A generator for the noise, and the running statistics collected so far.

    After a forward pass, `weights.replace(training.statistics)` are the weights with
    the new statistics; the old ones are not written to.
    """

    rng: np.random.Generator | None = None
    momentum: float = 0.1
    statistics: dict[str, np.ndarray] = field(default_factory=dict)


def is_statistic(name: str) -> bool:
    """Whether a tensor is gathered by batch normalisation, and not learnt."""
    return name.endswith((".running_mean", ".running_var", ".num_batches_tracked"))


def batch_norm(x, weights, training: Training | None = None):
    r"""Batch normalisation by its weights, with the statistics of this batch while
    training and the running ones otherwise: $\gamma(x - \mu)/\sigma + \beta$.

    Source: [Kamath] where does the efficiency come from. Oracle: torch.nn.BatchNorm2d.
    """
    mean, variance, weight, bias = batch_norm_terms(weights)
    if training is not None:
        mean_name = weights.prefix + "running_mean"
        variance_name = weights.prefix + "running_var"
        collected = training.statistics
        collected[mean_name], collected[variance_name] = ops.batch_norm_statistics(
            value_of(x),
            collected.get(mean_name, mean),
            collected.get(variance_name, variance),
            training.momentum,
        )
    return ops.batch_norm(
        x, mean, variance, weight, bias, training=training is not None
    )


def batch_norm_shapes(channels: int) -> dict[str, tuple[int, ...]]:
    """The tensors of one batch normalisation, by name."""
    return dict.fromkeys(_TERMS, (channels,))


def batch_norm_terms(weights):
    r"""$(\mu, \sigma^2, \gamma, \beta)$ of one batch normalisation."""
    return tuple(weights[name] for name in _TERMS)


def drop_path(branch, rate: float, training: Training | None = None):
    """A residual branch, dropped for some of the batch while training."""
    if training is None:
        return branch
    return ops.drop_path(branch, rate, rng=training.rng)


def rising_rates(rate: float, depths) -> list[list[float]]:
    """Stochastic depth for each block of each stage: from 0 up to `rate`, evenly.

    >>> rising_rates(0.5, (1, 2))
    [[0.0], [0.25, 0.5]]
    """
    last = max(sum(depths) - 1, 1)
    rates = [rate * i / last for i in range(sum(depths))]
    ends = [sum(depths[: i + 1]) for i in range(len(depths))]
    return [rates[end - depth : end] for end, depth in zip(ends, depths)]
