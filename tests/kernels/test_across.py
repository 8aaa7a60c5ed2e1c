"""The spec of refvlm/kernels/across.py."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from refvlm.kernels.across import (
    band_across,
    depthwise_across,
    depthwise_across_vjp,
    filters_of,
)
from refvlm.kernels.banded import depthwise_banded
from refvlm.kernels.windows import geometry

from ..spec import assert_close, example, law, random_arrays
from .test_depthwise import walk_of, walks


@example
def test_a_band_has_the_filter_in_every_column():
    """A filter of three over a row of three, padded by one: shifted, zeros beside."""
    walk = geometry((1, 3), (1, 3), padding=(0, 1))
    bands = band_across(np.array([[[[1.0, 2.0, 3.0]]]]), walk)
    np.testing.assert_array_equal(
        bands, [[[2.0, 1.0, 0.0], [3.0, 2.0, 1.0], [0.0, 3.0, 2.0]]]
    )
    ones = filters_of(np.ones((1, 3, 3)), 1, walk)
    np.testing.assert_array_equal(ones, [[[[2.0, 3.0, 2.0]]]])


@law
@given(walks, st.integers(1, 3))
def test_across_equals_down(walk, many):
    """The band across a row says what the band down the columns says."""
    walk, draw = walk_of(walk), random_arrays(84)
    x, weight = draw(2, 3, *walk.size), draw(3 * many, 1, *walk.kernel)
    bias = draw(3 * many)
    assert_close(
        depthwise_across(x, weight, walk, bias),
        depthwise_banded(x, weight, walk, bias),
    )


@law
@given(walks, st.integers(1, 3))
def test_the_derivatives_across_are_adjoint(walk, many):
    """<w * x, y> is <x, back(y)>, and <w, back(y)> too: it is linear in both."""
    walk, draw = walk_of(walk), random_arrays(85)
    x, weight = draw(2, 3, *walk.size), draw(3 * many, 1, *walk.kernel)
    out = depthwise_across(x, weight, walk)
    y = draw(*out.shape)
    d_x, d_weight = depthwise_across_vjp(y, x, weight, walk, ("x", "weight"))
    assert d_x.shape == x.shape and d_weight.shape == weight.shape
    assert abs((out * y).sum() - (x * d_x).sum()) <= 1e-10
    assert abs((out * y).sum() - (weight * d_weight).sum()) <= 1e-10
