r"""Addressing: from a code to the weights of the slots that would say it.

An address w is wanted with $w M \approx z$. Where the K rows of M are independent,
least squares has one answer, by the pseudo-inverse; a ridge shortens the address
where they are nearly not.
"""

from __future__ import annotations

import numpy as np

from ... import ops
from ...arguments import check_generator
from ...shapes import shapes
from .demands import ridge_is_a_size


@shapes(ridge_is_a_size, codes="... n C", mean="... K C", returns="... n K")
def ridge_address(codes, mean, ridge):
    r"""The addresses that say the codes, and are short:
    $W = Z M\transpose (M M\transpose + \lambda I)^{-1}$, the least of
    $\lVert WM - Z\rVert^2 + \lambda \lVert W\rVert^2$.

    codes are (..., n, C), mean (..., K, C), `ridge` $\lambda$. Asked of the mean that
    was written, keys and values are compared together. A Bayesian says
    $\lambda = \sigma^2 / \sigma_w^2$: what the noise is worth beside the spread that
    addresses are believed to have.

    Source: [MicroVLM-V] 5. Oracle: torch.linalg.lstsq on stacked rows.

    >>> ridge_address(np.array([[3.0, 4.0]]), np.array([[2.0, 0.0]]), ridge=2.0)
    array([[1.]])
    """
    return _least_squares(codes, mean, ridge)


@shapes(codes="... n C", mean="... K C", returns="... n K")
def prior_address(codes, mean):
    r"""The addresses that say the codes best: $W = Z M^+$, by least squares.

    codes are (..., n, C), mean (..., K, C) of K independent rows, where
    $M^+ = M\transpose (M M\transpose)^{-1}$: a ridge of 0. Of the mean
    $s\,I_{K \times C}$ that is $z_{:K} / s$.

    Source: [MicroVLM-V] 5, `solve_w_mean`. Oracle: torch.linalg.pinv.

    >>> prior_address(np.array([[6.0, 8.0, 5.0]]), 2.0 * np.eye(2, 3))
    array([[3., 4.]])
    """
    try:
        return _least_squares(codes, mean, ridge=0.0)
    except ValueError as singular:
        raise ValueError(
            "prior_address: the rows of mean depend on each other, so that many "
            "addresses say the same: take ridge_address, with a ridge above 0"
        ) from singular


def _least_squares(codes, mean, ridge):
    overlap = mean @ mean.swapaxes(-1, -2)
    overlap = overlap + ridge * np.eye(mean.shape[-2], dtype=mean.dtype)
    return ops.solve(overlap, mean @ codes.swapaxes(-1, -2)).swapaxes(-1, -2)


@shapes(address="... K", log_variance="... K", returns="... K")
def sampled_address(address, log_variance, rng=None):
    r"""An address that is only believed: $w + e^{\ell/2} \odot \epsilon$ with
    $\epsilon \sim \mathcal N(0, I)$ from the generator `rng`, and w itself without one.

    address and log_variance $\ell$ are (..., K), or one $\ell$ (K,) for all. The noise
    is drawn beside both, so that their gradients pass.

    Source: [MicroVLM-V] 1 and 7.4. Oracle: torch.distributions.Normal.rsample.

    >>> sampled_address(np.array([1.0, 2.0]), np.zeros(2))
    array([1., 2.])
    """
    if rng is None:
        return address
    check_generator("sampled_address", rng, "or None for the address itself")
    noise = rng.standard_normal(address.shape).astype(address.dtype)
    return address + ops.exp(log_variance * 0.5) * noise
