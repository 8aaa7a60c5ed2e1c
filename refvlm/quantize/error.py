r"""What rounding to a grid costs: its noise, and what the codes are worth.

A number that falls anywhere between two steps with equal odds is off by an amount that
is uniform from -s/2 to s/2, and the mean square of that is
$\frac1s \int_{-s/2}^{s/2} e^2\,de = s^2 / 12$.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..half import in_single_precision
from ..shapes import shapes
from . import demands


class Noise(NamedTuple):
    """The mean square and the largest difference; the signal over it in decibels."""

    mse: float
    largest: float
    sqnr: float


@shapes(demands.each_with_what_was_stored, x="...", x_hat="...", as_stored=True)
def quantization_error(x, x_hat):
    r"""How far numbers are from what was stored for them: the mean of $(x - \hat x)^2$,
    the largest $|x - \hat x|$, and $10 \log_{10}(\overline{x^2} / \overline{(x - \hat
    x)^2})$.

    Every 6.02 dB are a factor of two, a bit. Nothing lost is infinitely many; of
    nothing but zeros, if something was lost, infinitely few. Sums are in float64.

    Source: [Cortes] 9.5; [MicroVLM-V] 8. Oracle: torch.ao.ns.fx.utils.compute_sqnr.

    >>> quantization_error(np.array([1.0, -1.0]), np.array([1.0, -1.5]))
    Noise(mse=0.125, largest=0.5, sqnr=9.030899869919436)
    """
    x, x_hat = x.astype(np.float64), x_hat.astype(np.float64)
    largest = float(np.abs(x - x_hat).max())
    # Measured by their largest, squares neither overflow nor vanish.
    size = float(np.abs(x).max())
    noise = float(np.mean(np.square((x - x_hat) / (largest or 1))))
    signal = float(np.mean(np.square(x / (size or 1))))
    if not largest:
        return Noise(0.0, 0.0, math.inf)
    if not size:
        return Noise(noise * largest * largest, largest, -math.inf)
    sqnr = 10 * math.log10(signal / noise) + 20 * (
        math.log10(size) - math.log10(largest)
    )
    return Noise(noise * largest * largest, largest, sqnr)


@in_single_precision
def rounding_noise(scale):
    r"""The mean square error of rounding to a grid of step s: $s^2 / 12$.

    It is what one finds where many steps fit under the numbers' spread, and nothing is
    clipped. The largest error is s/2.

    Source: [Cortes] 9.5. Oracle: the mean of 100,000 numbers that were rounded.

    >>> rounding_noise(0.6)
    0.03
    """
    return scale * scale / 12


@shapes(demands.codes_that_say_something, codes="... of integers")
def code_entropy(codes):
    r"""The bits that a code is worth, $-\sum_q p_q \log_2 p_q$ with $p_q$ the share of
    the code q.

    No way of writing these codes one by one takes fewer on average. A grid whose codes
    are not equally often used is stored in more bits than it says.

    Source: [MicroVLM-V] 8. Oracle: torch.distributions.Categorical.entropy.

    >>> code_entropy(np.array([0, 1, 1, 0])), code_entropy(np.array([-1, 0, 0, 1]))
    (1.0, 1.5)
    """
    shares = np.unique(codes, return_counts=True)[1] / codes.size
    return float(-(shares * np.log2(shares)).sum() + 0.0)
