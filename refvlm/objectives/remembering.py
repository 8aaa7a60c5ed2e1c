r"""What remembering costs: how far a belief has moved from where it began, in nats.

Writing moves the memory from its prior to a posterior, and a learnt spread makes of an
address a distribution. A divergence of the new from the old keeps either from going
anywhere it likes. It is 0 where nothing was learnt, and above 0 everywhere else.
"""

from __future__ import annotations

import numpy as np

from .. import ops
from ..shapes import shapes
from ..variable import value_of


@shapes(
    mean="... K C",
    covariance="... K K",
    prior_mean="... K C",
    prior_covariance="... K K",
    returns="...",
)
def memory_kl(mean, covariance, prior_mean, prior_covariance):
    r"""From one matrix-normal belief to another: with $D = M - M_0$,
    $\tfrac12 \bigl[C \operatorname{tr}(\Sigma_0^{-1} \Sigma)
    + \operatorname{tr}(D\transpose \Sigma_0^{-1} D) - KC
    + C \log \tfrac{\det \Sigma_0}{\det \Sigma}\bigr]$.

    mean is (..., K, C), covariance (..., K, K) that of the rows, the same for all C
    columns: what concerns it counts C times. The result has the leading axes.

    Source: [MicroVLM-V] 5 and 7.3, with the factors C that it leaves out. Oracle:
    torch.distributions on the Kronecker product.

    >>> two, one = np.zeros((1, 2)), np.eye(1)
    >>> memory_kl(two + 1.0, one, two, one)
    array(1.)
    """
    K, C = mean.shape[-2:]
    moved = mean - prior_mean
    spread = _trace(ops.solve(prior_covariance, covariance))
    way = (moved * ops.solve(prior_covariance, moved)).sum((-1, -2))
    sharper = ops.logdet(prior_covariance) - ops.logdet(covariance)
    return (spread * C + way - K * C + sharper * C) * 0.5


def _variances_are_above_zero(function, variances, prior_variances):
    """Certainty is infinitely far from doubt."""
    for name, array in (("variances", variances), ("prior_variances", prior_variances)):
        if not (value_of(array) > 0).all():
            raise ValueError(
                f"{function}: {name} must be above 0, but the least of them is "
                f"{value_of(array).min():.3g}"
            )


@shapes(
    _variances_are_above_zero,
    mean="... K C",
    variances="... K",
    prior_mean="... K C",
    prior_variances="... K",
    returns="...",
)
def memory_kl_diagonal(mean, variances, prior_mean, prior_variances):
    r"""The same of slots that are independent, with $r_k = \sigma_k^2/\sigma_{0k}^2$:
    $\tfrac12 \sum_k \bigl[C\,(r_k - 1 - \log r_k)
    + \lVert m_k - m_{0k}\rVert^2 / \sigma_{0k}^2\bigr]$.

    mean is (..., K, C), variances (..., K), the diagonal of a covariance. Of a belief
    whose slots do depend on each other it leaves out what is known of them together,
    and is never more than `memory_kl` where the prior's slots are independent.

    Source: [MicroVLM-V] 7.3. Oracle: torch.distributions.kl_divergence of two Normals.
    """
    C = mean.shape[-1]
    ratio = variances / prior_variances
    way = ((mean - prior_mean) ** 2).sum(-1) / prior_variances
    return ((ratio - 1 - ops.log(ratio)) * C + way).sum(-1) * 0.5


@shapes(mean="... K", log_variance="... K", returns="...")
def addressing_kl(mean, log_variance):
    r"""From an address to a standard normal one, with $\ell = \log \sigma^2$:
    $\tfrac12 \sum_k (e^{\ell_k} + \mu_k^2 - 1 - \ell_k)$.

    mean is (..., K), log_variance (..., K), or one (K,) for all of them.

    Source: [MicroVLM-V] 5 and 7.4. Oracle: torch.distributions.kl_divergence.

    >>> addressing_kl(np.array([2.0, 0.0]), np.array([0.0, 0.0]))
    array(2.)
    """
    return (ops.exp(log_variance) + mean**2 - 1 - log_variance).sum(-1) * 0.5


def _trace(matrices):
    return (matrices * np.eye(matrices.shape[-1], dtype=matrices.dtype)).sum((-1, -2))
