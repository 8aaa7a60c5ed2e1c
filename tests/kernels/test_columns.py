"""The spec of refvlm/kernels/columns.py."""

import numpy as np
import pytest

from refvlm.kernels.columns import (
    columns_of,
    correlate,
    correlate_back,
    correlate_weight,
)
from refvlm.kernels.windows import geometry

from ..spec import assert_close, example, law, random_arrays

CASES = {
    "row": ((2, 2, 7), (3, 2, 3), dict(stride=2, padding=1), 1),
    "picture": ((2, 4, 6, 5), (6, 2, 3, 2), dict(padding=(1, 0), dilation=(2, 1)), 2),
    "volume": ((1, 2, 4, 5, 3), (3, 2, 2, 3, 1), dict(stride=(1, 2, 1)), 1),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request):
    """x, weight, the walk and the groups."""
    shape, weight_shape, options, groups = request.param
    draw = random_arrays(71)
    walk = geometry(shape[2:], weight_shape[2:], **options)
    return draw(*shape), draw(*weight_shape), walk, groups


@example
def test_columns_of_a_row():
    """Two filters over three windows: one 2 x 2 by 2 x 3 product."""
    columns = columns_of(np.array([[[1.0, 2.0, 4.0, 8.0]]]), geometry((4,), 2))
    np.testing.assert_array_equal(columns, [[[[1.0, 2.0, 4.0], [2.0, 4.0, 8.0]]]])
    sums_and_steps = np.array([[[1.0, 1.0]], [[-1.0, 1.0]]])
    np.testing.assert_array_equal(
        correlate(columns, sums_and_steps), [[[3.0, 6.0, 12.0], [1.0, 2.0, 4.0]]]
    )


@law
def test_correlate_back_is_the_adjoint_of_correlate(case):
    """<W cols(x), y> = <x, cols^T(W^T y)>, over one, two and three axes."""
    x, weight, walk, groups = case
    out = correlate(columns_of(x, walk, groups), weight, None, groups)
    y = random_arrays(72)(*out.shape)
    back = correlate_back(y, weight, walk, groups)
    assert_close((out * y).sum(), (x * back).sum(), 1e-11)


@law
def test_correlate_weight_is_the_adjoint_in_the_weight(case):
    """<W cols(x), y> = <W, y cols(x)^T>: the output is linear in the weight too."""
    x, weight, walk, groups = case
    columns = columns_of(x, walk, groups)
    out = correlate(columns, weight, None, groups)
    y = random_arrays(73)(*out.shape)
    d_weight = correlate_weight(y, columns, weight.shape)
    assert_close((out * y).sum(), (weight * d_weight).sum(), 1e-11)


@law
def test_columns_of_one_pixel_are_the_picture():
    """A 1 x 1 window copies nothing."""
    x = np.zeros((2, 3, 4, 5))
    assert np.shares_memory(columns_of(x, geometry((4, 5), 1)), x)
