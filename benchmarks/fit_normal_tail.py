r"""The coefficients of `refvlm.kernels.normal_tail.ROOT`, found again.

    python -m benchmarks.fit_normal_tail

Wanted is a polynomial P of degree 8 with $P(a)^{-16} \approx \Phi(-a)$ for
$0 \le a \le 6$. Two errors count: that of $a\,\Phi(-a)$, absolutely, where the bell is
wide, and that of $\Phi(-a)$, relative to itself, in the tail.

P(0) is exact, to float32: the power makes 16 times as much of what is lost in a
rounding. Least squares, again and again, with more weight where the error was large,
tends to the polynomial whose largest weighted error is smallest (Lawson's method).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial, chebyshev

POWER, DEGREE, REACH = 16, 8, 6.0
ABSOLUTE, RELATIVE = 1e-7, 4e-4


def lower_tail(distance):
    """Phi(-a) in float64."""
    return np.array([math.erfc(a / math.sqrt(2)) / 2 for a in distance])


def fit(distance, rounds=200):
    """The coefficients of P, highest power first: an error of P is one of the tail that
    is 16 times as large."""
    tail = lower_tail(distance)
    root, at_zero = tail ** (-1 / POWER), float(np.float32(2 ** (1 / POWER)))
    wanted = (root - at_zero) / distance  # so that P(0) is exact
    matters = np.maximum(np.maximum(distance, 0.1) * tail / ABSOLUTE, 1 / RELATIVE)
    matters = matters * POWER / root * distance
    basis = chebyshev.chebvander(2 * distance / REACH - 1, DEGREE - 1)
    weight, best = np.ones_like(distance), (math.inf, None)
    for _ in range(rounds):
        rows = (matters * np.sqrt(weight))[:, None]
        found = np.linalg.lstsq(basis * rows, wanted * rows[:, 0], rcond=None)[0]
        error = np.abs(basis @ found - wanted) * matters
        if error.max() < best[0]:
            best = error.max(), found
        weight *= (error / error.max()) ** 0.7 + 1e-9
        weight = np.maximum(weight / weight.max(), 1e-12)
    rest = Chebyshev(best[1], domain=[0, REACH]).convert(kind=Polynomial).coef
    return [*rest[::-1], at_zero]


def main():
    distance = REACH * (1 - np.cos(np.linspace(0, np.pi, 401)[1:])) / 2
    root = fit(distance)
    print(*(f"{coefficient:.9g}," for coefficient in root), sep="\n")
    distance = np.linspace(0, REACH, 5001)
    tail, fitted = lower_tail(distance), np.polyval(root, distance) ** -POWER
    error = fitted - tail
    print(f"absolute error of Phi {np.abs(error).max():.1e}")
    print(f"absolute error of GELU {np.abs(error * distance).max():.1e}")
    print(f"relative error of Phi {np.abs(error / tail).max():.1e}")


if __name__ == "__main__":
    main()
