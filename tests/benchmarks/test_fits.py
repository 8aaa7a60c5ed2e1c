"""The spec of benchmarks/fits.py: how growth is told from times."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import fits

from ..spec import contract, example, law

SIZES = np.array([16, 64, 256, 1024, 4096])


@example
def test_power_of_a_square():
    """Twice the size, four times the time: the exponent is 2, and nothing is off."""
    found = fits.power([1, 2, 4], [3, 12, 48])
    assert found["exponent"] == pytest.approx(2)
    assert found["error"] == pytest.approx(0, abs=1e-12)


@example
def test_terms_cross_where_they_are_equal():
    """In 100 + 4 n + n^2 / 50, 4 n is 100 at 25, and the square overtakes at 200."""
    found = fits.terms(SIZES, 100 + 4 * SIZES + SIZES**2 / 50, (0, 1, 2))
    assert list(found["coefficients"].values()) == pytest.approx([100, 4, 0.02])
    assert found["crossings"] == {
        "0 and 1": pytest.approx(25),
        "1 and 2": pytest.approx(200),
    }


@law
@given(st.floats(-3, 3), st.floats(1e-9, 1e9))
def test_power_finds_a_planted_exponent(exponent, scale):
    """Whatever the unit of time."""
    found = fits.power(SIZES, scale * SIZES**exponent)
    assert found["exponent"] == pytest.approx(exponent, abs=1e-9)


@law
def test_noise_widens_the_spread_and_the_error_covers_it():
    """The spread is the noise's own, and the planted exponent lies within the error.

    Over 400 draws: 1 standard error holds in more than half of them, 4 nearly always.
    """
    rng, widths = np.random.default_rng(0), []
    for noise in (0.01, 0.1):
        found = [
            fits.power(SIZES, SIZES**1.5 * np.exp(noise * rng.standard_normal(5)))
            for _ in range(400)
        ]
        spread = np.mean([one["spread"] ** 2 for one in found]) ** 0.5
        assert spread == pytest.approx(noise, rel=0.1)
        off = [abs(one["exponent"] - 1.5) / one["error"] for one in found]
        assert np.mean(np.less(off, 1)) > 0.5
        assert np.mean(np.less(off, 4)) > 0.95
        widths.append(np.mean([one["error"] for one in found]))
    assert widths[1] == pytest.approx(10 * widths[0], rel=0.2)


@law
@given(st.lists(st.sampled_from([0, 1e-3, 1, 1e3]), min_size=3, max_size=3))
def test_terms_find_planted_ones_and_no_others(planted):
    """A term that is not there gets no coefficient worth a millionth of the time."""
    if any(planted):
        values = sum(c * SIZES.astype(float) ** p for p, c in enumerate(planted))
        found = fits.terms(SIZES, values, (0, 1, 2))["coefficients"]
        for p, c in enumerate(planted):
            assert abs(found[str(p)] - c) <= 1e-6 * (values / SIZES**p).min() + 1e-9 * c


@law
@given(st.integers(0, 1000))
def test_terms_are_never_negative(seed):
    """Time that falls with size by noise does not make a term that gives time back."""
    values = np.random.default_rng(seed).uniform(0.5, 2, 5)
    found = fits.terms(SIZES, values, (0, 1, 2))
    assert min(found["coefficients"].values()) >= 0


@law
def test_noise_widens_the_spread_of_terms():
    """It is a standard deviation of relative errors."""
    rng = np.random.default_rng(0)
    exact = 100 + 4 * SIZES + SIZES**2 / 50
    noisy = [exact * (1 + 0.05 * rng.standard_normal(5)) for _ in range(400)]
    found = [fits.terms(SIZES, values, (0, 1, 2))["spread"] for values in noisy]
    assert fits.terms(SIZES, exact, (0, 1, 2))["spread"] < 1e-9
    assert np.sqrt(np.mean(np.square(found))) == pytest.approx(0.05, rel=0.15)


@contract
def test_what_cannot_be_fitted_is_refused():
    """One size has no slope, and two sizes not three terms."""
    with pytest.raises(ValueError, match="at least two sizes"):
        fits.power([4], [1])
    with pytest.raises(ValueError, match="3 terms need as many sizes, not 2"):
        fits.terms([1, 2], [1, 2], (0, 1, 2))
    assert fits.power([1, 2], [1, 2])["error"] is None
