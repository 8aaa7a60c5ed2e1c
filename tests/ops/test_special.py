"""The spec of refvlm/ops/special.py."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.ops import special

from ..spec import check_dtype, check_vjp, derivative, example, law, random_arrays

# Dense where the three ratios meet, and out into both tails.
POINTS = np.concatenate(
    [
        np.linspace(-6.5, 6.5, 5001),
        np.array([0.46875, 4.0])[:, None].repeat(3, 1).ravel()
        * np.tile([1 - 1e-15, 1, 1 + 1e-15], 2),
        np.logspace(-300, 1, 500),
    ]
)


def lower_tail(x):
    """Phi in float64, by the standard library's erfc."""
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x])


@example
def test_erf_at_one_half():
    """The table in the back of a statistics book says 0.5205."""
    assert round(float(ops.erf(np.array(0.5))), 4) == 0.5205


@example
def test_normal_cdf_has_two_thirds_within_one_deviation():
    """The rule of thumb: 68 in 100 lie within one standard deviation."""
    below = special.normal_cdf(np.array([-1.0, 1.0]))
    assert round(float(below[1] - below[0]), 2) == 0.68


@law
def test_erf_is_exact_to_the_last_digit():
    """Against the standard library's, everywhere, to 1e-15 of the value."""
    exact = np.array([math.erf(x) for x in POINTS])
    np.testing.assert_allclose(ops.erf(POINTS), exact, rtol=1e-15, atol=0)


@law
@given(st.floats(allow_nan=False))
def test_erf_is_odd(x):
    """erf(-x) = -erf(x), bit for bit, also for infinities and for -0."""
    left, right = ops.erf(np.array(-x)), -ops.erf(np.array(x))
    assert left == right and np.signbit(left) == np.signbit(right)


@law
def test_erf_has_limits_and_passes_nan_on():
    """-1 and 1 at the infinities; what is not a number stays so."""
    x = np.array([-np.inf, np.inf, np.nan])
    np.testing.assert_array_equal(ops.erf(x), [-1, 1, np.nan])


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_erf_rounds_once(dtype):
    """Narrow types are computed wide: the nearest number of the type comes out."""
    x = np.linspace(-4, 4, 999).astype(dtype)
    exact = np.array([math.erf(value) for value in x]).astype(dtype)
    np.testing.assert_array_max_ulp(ops.erf(x), exact, maxulp=0, dtype=dtype)


@law
def test_erf_takes_every_layout():
    """Empty, one number, strided, larger than a block: the same numbers."""
    x = random_arrays(3)(700, 401)
    exact = np.array([math.erf(value) for value in x.T.ravel()]).reshape(401, 700)
    np.testing.assert_allclose(ops.erf(x.T), exact, rtol=1e-15)
    assert ops.erf(np.zeros((0, 3))).shape == (0, 3)
    assert ops.erf(np.array(0.0)).shape == ()


@law
def test_normal_cdf_keeps_its_digits_in_the_lower_tail():
    """Phi(-37) is 6e-300, and is not 1/2 - 1/2."""
    x = np.linspace(-37, 8, 3001)
    np.testing.assert_allclose(special.normal_cdf(x), lower_tail(x), rtol=1e-12)


@law
@given(st.floats(-8, 8))
def test_normal_cdf_is_symmetric(x):
    """Phi(x) + Phi(-x) = 1."""
    both = special.normal_cdf(np.array([x, -x]))
    assert abs(both.sum() - 1) <= 2e-16


@law
def test_normal_cdf_in_float32_is_within_five_in_ten_million():
    """One polynomial under an exponential, fitted from 0 to 6 deviations."""
    x = np.linspace(-20, 20, 20001).astype(np.float32)
    error = np.abs(special.normal_cdf(x) - lower_tail(x))
    assert error.max() < 5e-7


@law
def test_normal_cdf_in_float32_keeps_three_digits_to_six_deviations():
    """Relative to itself, where itself is 1e-9."""
    x = np.linspace(-6, 0, 5001).astype(np.float32)
    np.testing.assert_allclose(special.normal_cdf(x), lower_tail(x), rtol=6e-4)


@law
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_times_normal_cdf_is_the_product(dtype):
    """x Phi(x), for an array of many blocks and an odd end."""
    x = random_arrays(5)(401, 701, scale=3.0).astype(dtype)
    wide = x.astype(np.float64)
    exact = wide * special.normal_cdf(wide)
    error = np.abs(special.times_normal_cdf(x) - exact)
    bound = {"float16": 4e-3, "float32": 5e-7, "float64": 1e-15}
    assert error.max() <= bound[x.dtype.name]


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_times_normal_cdf_has_limits_and_passes_nan_on(dtype):
    """Nothing on the left, x on the right, and no NaN that was not there before."""
    x = np.array([-1e30, 1e30, np.inf, np.nan], dtype)
    expected = np.array([0, 1e30, np.inf, np.nan], dtype)
    np.testing.assert_allclose(special.times_normal_cdf(x), expected, atol=1e-25)


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_into_may_write_over_its_input(dtype):
    """In place, or into another array: the same numbers."""
    x = random_arrays(6)(3, 70001).astype(dtype)
    apart, over = np.empty_like(x), x.copy()
    special.gelu_into(apart, x)
    special.gelu_into(over, over)
    np.testing.assert_array_equal(over, apart)
    np.testing.assert_array_equal(apart, special.times_normal_cdf(x))


@law
@pytest.mark.parametrize(
    "function", [ops.erf, special.normal_cdf, special.times_normal_cdf]
)
def test_erf_and_normal_cdf_keep_the_dtype(function):
    """dtype in = dtype out, and nothing is written to."""
    check_dtype(function, random_arrays(1)(4, 5))


@derivative
def test_erf_has_the_bell_as_its_slope():
    r"""$\frac{2}{\sqrt\pi} e^{-x^2}$."""
    check_vjp(ops.erf, random_arrays(2)(3, 4))
