"""The spec of refvlm/ops/special.py."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.ops import special

from ..spec import call, check_vjp, derivative, example, law, oracle, random_arrays

CALLS = {"erf": [call(random_arrays(1)(4, 5)), call(np.zeros((0, 3)))]}


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
def test_erf_rounds_once():
    """Narrow numbers are computed wide: the nearest number of the type comes out."""
    x = np.linspace(-4, 4, 999).astype(np.float32)
    exact = np.array([math.erf(value) for value in x]).astype(np.float32)
    np.testing.assert_array_equal(ops.erf(x), exact)


@law
def test_normal_cdf_keeps_its_digits_in_the_lower_tail():
    """Phi(-37) is 6e-300, and is not 1/2 - 1/2: it lies between the two bounds that
    the density gives for it, a share 1/a of which is left beyond a."""
    a = np.linspace(1, 37, 3001)
    above = special.normal_pdf(a) / a
    below = above * a**2 / (a**2 + 1)
    tail = special.normal_cdf(-a)
    assert ((below < tail) & (tail < above)).all()


@law
@given(st.floats(-8, 8))
def test_normal_cdf_is_symmetric(x):
    """Phi(x) + Phi(-x) = 1."""
    both = special.normal_cdf(np.array([x, -x]))
    assert abs(both.sum() - 1) <= 2e-16


@oracle
def test_erf_equals_torch(compare):
    """PyTorch's erf and its gradient, of any shape down to a number."""
    compare(ops.erf, lambda torch: torch.special.erf, random_arrays(4)(3, 7, scale=2))
    compare(ops.erf, lambda torch: torch.special.erf, np.array(0.5))


@oracle
def test_normal_cdf_equals_torch(compare):
    """The share below x, of numbers on both sides of zero."""

    def reference(torch):
        return torch.special.ndtr

    x = random_arrays(5)(3, 7, scale=2)
    compare(special.normal_cdf, reference, x, gradients=False)


@derivative
def test_erf_has_the_bell_as_its_slope():
    r"""$\frac{2}{\sqrt\pi} e^{-x^2}$."""
    check_vjp(ops.erf, random_arrays(2)(3, 4))
