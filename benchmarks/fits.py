r"""How cost grows with size: a power of it, or a sum of powers, by least squares.

`power` fits $t = c\, n^\alpha$ on logarithms; `terms` fits $t = a + b n + c n^2$, or
other powers, so that relative errors are least and no term is negative, and says at
which size one term overtakes the one before it. Applied to counts of operations, the
two give what theory expects over the same sizes.
"""

from __future__ import annotations

import itertools
import math

import numpy as np


def power(sizes, values):
    r"""The exponent $\alpha$, its standard error, and the residual's spread.

    Spread is a standard deviation of $\ln t$: 0.02 says that values lie about 2 % off
    the line. With two sizes there is none to be seen, and both are None.

    >>> power([1, 2, 4], [3, 12, 48])["exponent"].round(6).item()
    2.0
    """
    x, y = np.log(np.asarray(sizes, float)), np.log(np.asarray(values, float))
    if len(x) < 2 or np.ptp(x) == 0:
        raise ValueError("an exponent needs at least two sizes")
    away = x - x.mean()
    exponent = away @ (y - y.mean()) / (away @ away)
    residuals = y - y.mean() - exponent * away
    spread = error = None
    if len(x) > 2:
        spread = math.sqrt(residuals @ residuals / (len(x) - 2))
        error = spread / math.sqrt(away @ away)
    return {"exponent": exponent, "error": error, "spread": spread}


def terms(sizes, values, powers):
    """Coefficients that are not negative, the relative residual's spread, crossings.

    A crossing is the size at which a term equals the next one; None where either is
    zero. One far outside the sizes is an extrapolation, and no better than that.
    """
    sizes, values = np.asarray(sizes, float), np.asarray(values, float)
    if len(sizes) < len(powers):
        raise ValueError(f"{len(powers)} terms need as many sizes, not {len(sizes)}")
    largest = sizes.max()  # sizes relative to it keep the powers comparable
    columns = np.stack([(sizes / largest) ** p / values for p in powers], axis=1)
    # The best without any condition on some terms, the others being zero; of the
    # choices that come out without a negative one, the best of all.
    kept, found, wrong = min(_fits(columns), key=lambda fit: fit[2])
    coefficients = dict.fromkeys(powers, 0.0)
    for index, value in zip(kept, found):
        coefficients[powers[index]] = float(value / largest ** powers[index])
    free = len(sizes) - len(kept)
    return {
        "coefficients": {str(p): c for p, c in coefficients.items()},
        "spread": math.sqrt(wrong / free) if free else None,
        "crossings": {
            f"{p} and {q}": _crossing(coefficients, p, q)
            for p, q in itertools.pairwise(powers)
        },
    }


def _fits(columns):
    """(kept columns, their coefficients, squared relative error), none negative."""
    count = columns.shape[1]
    for many in range(1, count + 1):
        for kept in itertools.combinations(range(count), many):
            some = columns[:, kept]
            found = np.linalg.lstsq(some, np.ones(len(some)), rcond=None)[0]
            if (found >= 0).all():
                off = some @ found - 1
                yield kept, found, float(off @ off)


def _crossing(coefficients, low, high):
    """Where c_low n^low = c_high n^high."""
    if not (coefficients[low] and coefficients[high]):
        return None
    return (coefficients[low] / coefficients[high]) ** (1 / (high - low))
