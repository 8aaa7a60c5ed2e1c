r"""Special functions: the area under the bell curve, and how to have it fast.

$$\operatorname{erf}(x) = \frac{2}{\sqrt\pi} \int_0^x e^{-t^2} dt, \qquad
\Phi(x) = \tfrac12 \bigl(1 + \operatorname{erf}(x / \sqrt 2)\bigr).$$

NumPy has neither. There are two roads here. In float64, `erf` follows Cody, whose
three ratios of polynomials reach the last digit. In float32, the exact GELU of a
vision model asks for $\Phi$ half a billion times for one picture, and one polynomial
will do: the logarithm of the lower tail is a smooth curve, close to a parabola, so

$$\Phi(-a) \approx e^{c_0 + c_1 a + \dots + c_6 a^6}, \quad a \ge 0,$$

is within 4e-7 everywhere, and within 5e-4 of itself down to $\Phi(-6) = 10^{-9}$.
`benchmarks/fit_normal_tail.py` finds the coefficients.

W. J. Cody, Rational Chebyshev approximations for the error function, 1969.
"""

from __future__ import annotations

import math

import numpy as np

from ..autodiff import differentiable
from ..parallel import blocks, in_parallel, shares
from ..shapes import shapes

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
# log Phi(-a) for 0 <= a, in float32.
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
BLOCK = 131_072  # long enough calls to share between threads, and near a core's cache


@differentiable
@shapes(x="...", returns="...")
def erf(x):
    r"""The error function:
    $\operatorname{erf}(x) = \frac{2}{\sqrt\pi} \int_0^x e^{-t^2} dt$.

    Within 1e-15 in float64.

    Source: [Foundations] activations. Oracle: torch.special.erf.

    >>> erf(np.array([0.0, 0.5, 6.0]))
    array([0.        , 0.52049988, 1.        ])
    """
    return _by_blocks(_erf_block, x)


@erf.vjp
def erf_vjp(d_out, x):
    r"""$\bar x = \bar y \, \frac{2}{\sqrt\pi} e^{-x^2}$."""
    return d_out * np.exp(-x * x) * (2 / math.sqrt(math.pi))


def normal_cdf(x):
    r"""The standard normal's share below x:
    $\Phi(x) = \frac12 \operatorname{erfc}(-x / \sqrt2)$.

    Within 1e-15 in float64, also relatively in the lower tail; 5e-7 in float32.

    >>> normal_cdf(np.array([-1.0, 0.0, 1.0]))
    array([0.15865525, 0.5       , 0.84134475])
    """
    return _by_blocks(_normal_cdf_block, x)


def normal_pdf(x):
    r"""The standard normal's density: $\varphi(x) = e^{-x^2/2} / \sqrt{2\pi}$.

    >>> normal_pdf(np.array([0.0]))
    array([0.39894228])
    """
    return np.exp(-x * x / 2) * (1 / math.sqrt(2 * math.pi))


def times_normal_cdf(x):
    r"""$x\,\Phi(x)$, the exact GELU, in a new array; the cores share the work.

    >>> times_normal_cdf(np.array([-1.0, 0.0, 1.0]))
    array([-0.15865525,  0.        ,  0.84134475])
    """
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty(x.shape, x.dtype)
    flat_out = out.reshape(-1)
    in_parallel(
        lambda share: gelu_into(flat_out[share], flat[share]),
        shares(len(flat), BLOCK),
    )
    return out


def gelu_into(out, x):
    r"""Write $x \Phi(x)$ into out, which may be x itself. Both are contiguous.

    In float32 by the lower tail alone, $x\Phi(x) = \max(x, 0) - |x|\,\Phi(-|x|)$,
    which keeps small results small, on blocks that stay in cache.
    """
    flat_x, flat_out = x.reshape(-1), out.reshape(-1, copy=False)
    block = _gelu_block32 if x.dtype == np.float32 else _gelu_block
    size = min(BLOCK, len(flat_x))
    scratch = np.empty((2, size), x.dtype)
    for part in blocks(len(flat_x), size or 1):
        block(flat_x[part], flat_out[part], scratch)


def _gelu_block32(x, out, scratch):
    distance, tail = scratch[:, : len(x)]
    np.absolute(x, out=distance)
    np.clip(distance, 0, FAR, out=distance)  # so that inf * 0 does not arise
    _tail_into(tail, distance)
    tail *= distance
    np.clip(x, 0, math.inf, out=out)  # one bound would be three times as slow
    out -= tail


def _tail_into(tail, distance):
    """Phi(-distance) in float32."""
    np.multiply(distance, LOG_TAIL[0], out=tail)
    for coefficient in LOG_TAIL[1:-1]:
        tail += coefficient
        tail *= distance
    tail += LOG_TAIL[-1]
    np.exp(tail, out=tail)


def _gelu_block(x, out, scratch):
    np.multiply(x, _normal_cdf_block(x), out=out)


def _normal_cdf_block(x):
    if x.dtype == np.float32:
        distance = np.clip(np.absolute(x), 0, FAR)
        tail = np.empty_like(distance)
        _tail_into(tail, distance)
        return np.where(x > 0, 1 - tail, tail)
    wide = x.astype(np.float64, copy=False)
    scaled = np.abs(wide) * math.sqrt(0.5)
    upper = _erfc(scaled) / 2
    small = scaled <= 0.46875
    upper[small] = 0.5 - _erf_near_zero(scaled[small]) / 2
    return np.where(wide > 0, 1 - upper, upper).astype(x.dtype, copy=False)


def _erf_block(x):
    wide = x.astype(np.float64, copy=False)
    distance = np.abs(wide)
    out = np.copysign(1 - _erfc(distance), wide)
    small = distance <= 0.46875
    out[small] = _erf_near_zero(wide[small])
    return out.astype(x.dtype, copy=False)


def _erf_near_zero(x):
    return x * _ratio(NEAR_ZERO, x * x)


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


def _by_blocks(function, x):
    """function over cache-sized blocks of x, the cores sharing the blocks."""
    x = np.asarray(x)
    flat = np.ascontiguousarray(x).reshape(-1)
    out = np.empty(x.shape, x.dtype)
    flat_out = out.reshape(-1)

    def work(share):
        for part in blocks(share.stop - share.start, BLOCK):
            place = slice(share.start + part.start, share.start + part.stop)
            flat_out[place] = function(flat[place])

    in_parallel(work, shares(len(flat), BLOCK))
    return out
