r"""The coefficients of `refvlm.kernels.normal_tail`, found again.

    python -m benchmarks.fit_normal_tail

Two polynomials on $0 \le a \le 6$: ROOT, of degree 8, with $P(a)^{-16} \approx
\Phi(-a)$, and LOG_TAIL, of degree 6, with $e^{p(a)} \approx \Phi(-a)$. Two errors
count: that of $a\,\Phi(-a)$, absolutely, where the bell is wide, and that of
$\Phi(-a)$, relative to itself, in the tail. At 0 both are exact.

Least squares, again and again, with more weight where the error was large, tends to the
polynomial whose largest weighted error is smallest (Lawson's method).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial, chebyshev

POWER, REACH = 16, 6.0


def lower_tail(distance):
    """Phi(-a) in float64."""
    return np.array([math.erfc(a / math.sqrt(2)) / 2 for a in distance])


def fit_root(distance, rounds=200):
    """ROOT, highest power first: an error of P is one of the tail, 16 times as large.

    P(0) is exact to float32: the power makes 16 times as much of what rounding loses.
    """
    tail = lower_tail(distance)
    root, at_zero = tail ** (-1 / POWER), float(np.float32(2 ** (1 / POWER)))
    matters = np.maximum(np.maximum(distance, 0.1) * tail / 1e-7, 1 / 4e-4)
    return fit(distance, root, at_zero, 8, matters * POWER / root, rounds)


def fit_log_tail(distance, rounds=2000):
    """LOG_TAIL, highest power first."""
    tail = lower_tail(distance)
    matters = np.maximum(np.maximum(distance, 0.5) * tail / 1e-7, 1 / 3e-4)
    return fit(distance, np.log(tail), math.log(0.5), 6, matters, rounds)


def fit(distance, wanted, at_zero, degree, matters, rounds):
    """The polynomial through `at_zero` whose largest error, weighted, is smallest."""
    wanted, matters = (wanted - at_zero) / distance, matters * distance
    basis = chebyshev.chebvander(2 * distance / REACH - 1, degree - 1)
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
    for name, found, of in (
        ("ROOT", fit_root(nodes(401)), lambda value: value**-POWER),
        ("LOG_TAIL", fit_log_tail(nodes(6001)), np.exp),
    ):
        print(name, *(f"{coefficient:.9g}," for coefficient in found), sep="\n")
        distance = np.linspace(0, REACH, 5001)
        tail = lower_tail(distance)
        error = of(np.polyval(found, distance)) - tail
        print(f"absolute error of Phi {np.abs(error).max():.1e}")
        print(f"absolute error of GELU {np.abs(error * distance).max():.1e}")
        print(f"relative error of Phi {np.abs(error / tail).max():.1e}")


def nodes(count):
    """Places from 0 to REACH, without 0, closer together at the ends."""
    return REACH * (1 - np.cos(np.linspace(0, np.pi, count)[1:])) / 2


if __name__ == "__main__":
    main()
