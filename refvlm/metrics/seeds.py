r"""Seeds: what a difference between two trained models is worth.

Two runs of one recipe differ, by their first numbers and by what they were shown. So a
number of one run is a draw, and two recipes differ where the means of several draws lie
further apart than chance would put them.

$$\bar x \pm \frac{\hat\sigma}{\sqrt n}$$
"""

from __future__ import annotations

import math

import numpy as np

from ..shapes import shapes


@shapes(values="n of numbers")
def mean_and_error(values) -> tuple[float, float]:
    r"""The mean of n draws, and how far it is from that of all draws, as a rule:
    $\bar x = \frac1n \sum_i x_i$ and
    $\hat\sigma/\sqrt n$ with $\hat\sigma^2 = \frac1{n-1}\sum_i (x_i - \bar x)^2$.

    One draw has a mean, and says nothing of its error: NaN.

    Source: [Foundations], whose tables have no spread. Oracle: torch.std.

    >>> mean_and_error(np.array([1.0, 2.0, 3.0, 6.0]))[0]
    3.0
    """
    n = len(values)
    if n == 0:
        raise ValueError("mean_and_error: values is empty: there is no mean of nothing")
    mean = np.sum(values) / n
    if n == 1:
        return float(mean), math.nan
    variance = np.sum((values - mean) ** 2) / (n - 1)
    return float(mean), float(np.sqrt(variance / n))


@shapes(values="n of numbers", others="n of numbers")
def paired_difference(values, others) -> tuple[float, float]:
    r"""`mean_and_error` of differences, draw by draw:
    $\frac1n \sum_i (x_i - y_i)$, where $x_i$ and $y_i$ share what chance gave them.

    What a seed does to both of them (the same scenes, the same first numbers) is taken
    away, and with it a part of the spread.

    Source: [Foundations], whose tables have no spread. Oracle: torch.std.

    >>> paired_difference(np.array([11.0, 22.0, 33.0]), np.array([10.0, 20.0, 30.0]))[0]
    2.0
    """
    return mean_and_error(values - others)
