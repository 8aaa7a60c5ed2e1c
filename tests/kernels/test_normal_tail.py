"""The spec of refvlm/kernels/normal_tail.py."""

import math

import numpy as np
import pytest

from refvlm.kernels import normal_tail

from ..spec import contract, law, random_arrays

# Dense where the three ratios meet, and out into both tails.
POINTS = np.concatenate(
    [
        np.linspace(-37, 8, 5001),
        np.sqrt(2) * np.array([0.46875, 4.0])[:, None].repeat(3, 1).ravel()
        * np.tile([1 - 1e-15, 1, 1 + 1e-15], 2),
        np.logspace(-300, 1, 500),
    ]
)  # fmt: skip


def lower_tail(x):
    """Phi in float64, by the standard library's erfc."""
    return np.array([0.5 * math.erfc(-value / math.sqrt(2)) for value in x])


def slope(x):
    """GELU's slope in float64, by the same."""
    x = x.astype(np.float64)
    return lower_tail(x) + x * np.exp(-x * x / 2) / math.sqrt(2 * math.pi)


@law
def test_gelu_is_exact_in_float64():
    """Also far to the left: at -37 it is -2e-298, and every digit of it is there."""
    out = normal_tail.gelu(POINTS, "none")
    np.testing.assert_allclose(out, POINTS * lower_tail(POINTS), rtol=1e-12)


@law
def test_gelu_in_float32_is_within_four_in_ten_million():
    """One polynomial to the power of -16, fitted from 0 to 6 deviations."""
    x = np.linspace(-20, 20, 20001).astype(np.float32)
    error = np.abs(normal_tail.gelu(x, "none") - x * lower_tail(x))
    assert error.max() < 4e-7 * np.maximum(1, np.abs(x))[error.argmax()]


@law
def test_gelu_in_float32_keeps_three_digits_to_six_deviations():
    """Relative to itself, where itself is 6e-9."""
    x = np.linspace(-6, -1e-3, 5001).astype(np.float32)
    out = normal_tail.gelu(x, "none")
    np.testing.assert_allclose(out, x * lower_tail(x), rtol=6e-4)


@law
@pytest.mark.parametrize("dtype, bound", [(np.float32, 1e-6), (np.float64, 1e-15)])
def test_gelu_vjp_is_the_slope(dtype, bound):
    """Phi(x) + x phi(x), for an array of many blocks and an odd end."""
    x = random_arrays(5)(401, 701, scale=3.0).astype(dtype)
    d_out = np.cos(x)
    d_x = normal_tail.gelu_vjp(d_out, x, "none")
    error = np.abs(d_x - d_out * slope(x.ravel()).reshape(x.shape))
    assert d_x.dtype == dtype and error.max() <= bound


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_has_limits_and_passes_nan_on(dtype):
    """Nothing on the left, x on the right. No share at all of -inf is NaN, as by the
    formula, and so is the slope at an infinity."""
    x = np.array([-np.inf, -1e30, -13, 1e30, np.inf, np.nan], dtype)
    with np.errstate(over="raise", invalid="ignore"):
        out = normal_tail.gelu(x, "none")
        d_x = normal_tail.gelu_vjp(np.ones_like(x), x, "none")
    nan, inf = np.nan, np.inf
    np.testing.assert_allclose(out, [nan, 0, 0, 1e30, inf, nan], atol=1e-37)
    np.testing.assert_allclose(d_x, [nan, 0, 0, 1, nan, nan], atol=1e-30)


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_into_may_write_over_its_input(dtype):
    """In place, or into another array: the same numbers."""
    x = random_arrays(6)(3, 70001).astype(dtype)
    apart, over = np.empty_like(x), x.copy()
    normal_tail.gelu_into(apart, x)
    normal_tail.gelu_into(over, over)
    np.testing.assert_array_equal(over, apart)
    np.testing.assert_array_equal(apart, normal_tail.gelu(x, "none"))


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_takes_every_layout(dtype):
    """Empty, one number, strided, larger than a block: the same numbers."""
    x = random_arrays(3)(700, 401).astype(dtype)
    out = normal_tail.gelu(x.T, "none")
    np.testing.assert_array_equal(out, normal_tail.gelu(x, "none").T)
    assert normal_tail.gelu(x[:0], "none").shape == (0, 401)
    assert normal_tail.gelu(np.array(0.0, dtype), "none").shape == ()
    assert normal_tail.gelu_vjp(x[:0], x[:0], "none").shape == (0, 401)


@law
def test_gelu_leaves_the_tanh_form_to_the_definition():
    """The kernel knows one form."""
    x = np.ones(3)
    assert normal_tail.gelu(x, "tanh") is NotImplemented
    assert normal_tail.gelu_vjp(x, x, "tanh") is NotImplemented


@contract
def test_gelu_into_refuses_an_array_that_is_not_contiguous():
    """What is written into a copy is lost."""
    with pytest.raises(ValueError, match="out must be contiguous"):
        normal_tail.gelu_into(np.zeros((3, 4)).T, np.zeros((4, 3)))
