r"""The coefficients of `refvlm.kernels.normal_tail.LOG_TAIL`, found again.

    python -m benchmarks.fit_normal_tail

Wanted is a polynomial p of degree 6 with p(0) = log(1/2) and
$e^{p(a)} \approx \Phi(-a)$ for $0 \le a \le 6$. Two errors count: that of
$a\,\Phi(-a)$, absolutely, where the bell is wide, and that of $\Phi(-a)$, relative to
itself, in the tail; a relative error of 3e-4 there weighs like an absolute one of
1e-7. Least squares, again and again, with more weight where the error was large,
tends to the polynomial whose largest weighted error is smallest (Lawson's method).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial, chebyshev

DEGREE, REACH = 6, 6.0
ABSOLUTE, RELATIVE = 1e-7, 3e-4


def lower_tail(distance):
    """Phi(-a) in float64."""
    return np.array([math.erfc(a / math.sqrt(2)) / 2 for a in distance])


def fit(rounds=2000):
    """The coefficients of p, highest power first."""
    distance = REACH * (1 - np.cos(np.linspace(0, np.pi, 6001)[1:])) / 2
    tail = lower_tail(distance)
    wanted = (np.log(tail) - math.log(0.5)) / distance  # so that p(0) is exact
    matters = np.maximum(np.maximum(distance, 0.5) * tail / ABSOLUTE, 1 / RELATIVE)
    matters = matters * ABSOLUTE * distance
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
    return [*rest[::-1], math.log(0.5)]


def main():
    coefficients = fit()
    distance = np.linspace(0, REACH, 5001)
    tail = lower_tail(distance)
    error = np.exp(np.polyval(coefficients, distance)) - tail
    print(*(f"{coefficient:.9g}" for coefficient in coefficients), sep="\n")
    print(f"absolute error of Phi {np.abs(error).max():.1e}")
    print(f"absolute error of GELU {np.abs(error * distance).max():.1e}")
    print(f"relative error of Phi {np.abs(error / tail).max():.1e}")


if __name__ == "__main__":
    main()
