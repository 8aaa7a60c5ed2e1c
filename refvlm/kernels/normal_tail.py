r"""The normal distribution's tail: GELU without an integral.

NumPy has no erf, and Python's own takes one number at a time. In float64 Cody's ratios
of polynomials reach the last digits. In float32 the exact GELU of a vision model asks
for $\Phi$ half a billion times for one picture, and one polynomial will do. The
sixteenth root of $1/\Phi(-a)$ is a smooth curve that grows from 1 to nearly 4, so

$$\Phi(-a) \approx (c_0 + c_1 a + \dots + c_8 a^8)^{-16}, \quad a \ge 0,$$

is within 4e-7 everywhere, and within 5e-4 of itself down to $\Phi(-6) = 10^{-9}$. The
power is four squarings, which pays where NumPy's exponential costs as much as seven
products or more.
It makes sixteen times as much of a rounding, which a distance times $\Phi$ forgives and
the derivative does not: that takes the exponential of a polynomial of degree 6.

`benchmarks/fit_normal_tail.py` finds the coefficients. Both work on pieces that stay
near a core, and the cores share them.

M. Abramowitz and I. A. Stegun, Handbook of Mathematical Functions, 1964, 7.1.28.
W. J. Cody, Rational Chebyshev approximations for the error function, 1969.
"""

from __future__ import annotations

import math

import numpy as np

from ..parallel import in_parallel, shares
from .pieces import NUMBERS, pieces

# erf(x) = x P(x^2) / Q(x^2) for |x| <= 0.46875. Highest powers first, as below.
NEAR_ZERO = (
    (
        1.85777706184603153e-1,
        3.16112374387056560e0,
        1.13864154151050156e2,
        3.77485237685302021e2,
        3.20937758913846947e3,
    ),
    (
        1.0,
        2.36012909523441209e1,
        2.44024637934444173e2,
        1.28261652607737228e3,
        2.84423683343917062e3,
    ),
)
# erfc(x) = exp(-x^2) P(x) / Q(x) for 0.46875 <= x <= 4.
MIDDLE = (
    (
        2.15311535474403846e-8,
        5.64188496988670089e-1,
        8.88314979438837594e0,
        6.61191906371416295e1,
        2.98635138197400131e2,
        8.81952221241769090e2,
        1.71204761263407058e3,
        2.05107837782607147e3,
        1.23033935479799725e3,
    ),
    (
        1.0,
        1.57449261107098347e1,
        1.17693950891312499e2,
        5.37181101862009858e2,
        1.62138957456669019e3,
        3.29079923573345963e3,
        4.36261909014324716e3,
        3.43936767414372164e3,
        1.23033935480374942e3,
    ),
)
# erfc(x) = exp(-x^2) / x (1 / sqrt(pi) - P(1/x^2) / (x^2 Q(1/x^2))) for x >= 4.
TAIL = (
    (
        1.63153871373020978e-2,
        3.05326634961232344e-1,
        3.60344899949804439e-1,
        1.25781726111229246e-1,
        1.60837851487422766e-2,
        6.58749161529837803e-4,
    ),
    (
        1.0,
        2.56852019228982242e0,
        1.87295284992346047e0,
        5.27905102951428412e-1,
        6.05183413124413191e-2,
        2.33520497626869185e-3,
    ),
)
# The sixteenth root of 1 / Phi(-a) for 0 <= a, in float32.
ROOT = (
    1.85393265e-07,
    -1.51022559e-06,
    9.88621888e-06,
    4.65719428e-05,
    3.9665464e-05,
    0.00342555583,
    0.0220754915,
    0.0520754772,
    1.04427373,
)
# log Phi(-a) for 0 <= a, in float32: no power makes more of its rounding.
LOG_TAIL = (
    2.18172188e-05,
    -0.000516540735,
    0.00552484755,
    -0.0368728572,
    -0.318128349,
    -0.797904265,
    -0.693147181,
)
FAR = 13.0  # Phi(-13) = 6e-39: nothing is left of it in float32
FARTHEST = 39.0  # and Phi(-39) is 0 in float64


def gelu(x, approximate):
    """The exact GELU, in a new array."""
    if approximate != "none":
        return NotImplemented
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty(x.shape, x.dtype)
    flat_out = out.reshape(-1)
    in_parallel(
        lambda share: gelu_into(flat_out[share], flat[share]), _shares(len(flat))
    )
    return out


def gelu_vjp(d_out, x, approximate):
    """Its gradient, in a new array: nan at an infinity, whose density is 0."""
    if approximate != "none":
        return NotImplemented
    flat, d_flat = (np.ascontiguousarray(array).reshape(-1) for array in (x, d_out))
    d_x = np.empty(x.shape, x.dtype)
    flat_d_x = d_x.reshape(-1)
    slope = _slope32 if x.dtype == np.float32 else _slope

    def work(share):
        for part in _parts(share):
            slopes = slope(flat[part])
            slopes[np.isinf(flat[part])] = math.nan
            np.multiply(d_flat[part], slopes, out=flat_d_x[part])

    in_parallel(work, _shares(len(flat)))
    return d_x


def gelu_into(out, x):
    """Write the exact GELU of x into out, which may be x itself, on this core.

    Both are contiguous: a copy that `reshape` made would be written to in vain.
    """
    if not out.flags.c_contiguous:
        raise ValueError("gelu_into: out must be contiguous")
    flat_x, flat_out = x.reshape(-1), out.reshape(-1)
    block = _gelu_block32 if x.dtype == np.float32 else _gelu_block
    scratch = np.empty((2, min(NUMBERS, len(flat_x))), x.dtype)
    for part in pieces(len(flat_x)):
        block(flat_x[part], flat_out[part], scratch)


def _shares(length):
    """One for each core; of few numbers, one."""
    return shares(length) if length > NUMBERS else [slice(0, length)]


def _parts(share):
    for part in pieces(share.stop - share.start):
        yield slice(share.start + part.start, share.start + part.stop)


def _gelu_block32(x, out, scratch):
    """max(x, 0) - |x| Phi(-|x|), which keeps small results small."""
    distance, power = scratch[:, : len(x)]
    np.absolute(x, out=distance)
    is_far = not np.maximum.reduce(distance, initial=0) < FAR
    far = (distance >= FAR) & (x > -math.inf) if is_far else None
    with np.errstate(over="ignore", invalid="ignore"):  # of -inf nan, as by the formula
        _power_into(power, distance)
        share = np.divide(distance, power, out=distance)
    if is_far:
        np.copyto(share, 0, where=far)
    np.clip(x, 0, math.inf, out=out)  # one bound would be three times as slow
    out -= share


def _slope32(x):
    """Phi(-|x|) - |x| phi(x) on the left of 0, and what it lacks of 1 on the right."""
    distance, slope, density = np.empty((3, len(x)), x.dtype)
    np.absolute(x, out=distance)
    np.clip(distance, 0, FAR, out=distance)
    _polynomial_into(slope, LOG_TAIL, distance)
    np.exp(slope, out=slope)
    np.multiply(distance, distance, out=density)
    density *= -0.5
    np.exp(density, out=density)
    density *= distance
    density *= 1 / math.sqrt(2 * math.pi)
    slope -= density
    return np.where(x > 0, np.subtract(1, slope, out=density), slope)


def _power_into(power, distance):
    """1 / Phi(-distance) in float32."""
    _polynomial_into(power, ROOT, distance)
    for _ in range(4):
        power *= power


def _polynomial_into(out, coefficients, x):
    """Horner's rule, in place."""
    np.multiply(x, coefficients[0], out=out)
    for coefficient in coefficients[1:-1]:
        out += coefficient
        out *= x
    out += coefficients[-1]


def _gelu_block(x, out, scratch):
    np.multiply(x, _normal_cdf(x), out=out)


def _slope(x):
    near = np.clip(x, -FARTHEST, FARTHEST)
    density = np.exp(-near * near / 2) / math.sqrt(2 * math.pi)
    return _normal_cdf(x) + near * density


def _normal_cdf(x):
    """Phi in float64."""
    wide = x.astype(np.float64, copy=False)
    scaled = np.abs(wide) * math.sqrt(0.5)
    upper = _erfc(scaled) / 2
    small = scaled <= 0.46875
    upper[small] = 0.5 - scaled[small] * _ratio(NEAR_ZERO, scaled[small] ** 2) / 2
    return np.where(wide > 0, 1 - upper, upper).astype(x.dtype, copy=False)


def _erfc(x):
    """1 - erf(x) for x >= 0.46875; anything below that."""
    x = np.minimum(x, 30.0)  # erfc(30) = 0 in float64
    out = _exp_minus_square(x)
    far = x > 4
    out[~far] *= _ratio(MIDDLE, x[~far])
    if far.any():
        x = x[far]
        inverse = 1 / (x * x)
        out[far] *= (1 / math.sqrt(math.pi) - inverse * _ratio(TAIL, inverse)) / x
    return out


def _exp_minus_square(x):
    """exp(-x^2) without the rounding of x^2: x^2 = near^2 + (x - near)(x + near)."""
    near = np.trunc(x * 16) / 16  # few digits: its square is exact
    return np.exp(-near * near) * np.exp(-(x - near) * (x + near))


def _ratio(polynomials, x):
    above, below = (_polynomial(coefficients, x) for coefficients in polynomials)
    return above / below


def _polynomial(coefficients, x):
    """Horner's rule, highest power first."""
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total *= x
        total += coefficient
    return total
