"""The spec of refvlm/kernels/depthwise.py."""

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from refvlm.kernels.banded import depthwise_banded
from refvlm.kernels.depthwise import depthwise_back, depthwise_weight, spread
from refvlm.kernels.windows import geometry

from ..spec import example, law, random_arrays


@example
def test_spread_puts_gradients_where_their_windows_ended():
    """Stride 2, a window of 2: gradients two apart, and room for a window around."""
    walk = geometry((1, 4), (1, 2), stride=(1, 2))
    framed = spread(np.array([[[[5.0, 7.0]]]]), walk)
    np.testing.assert_array_equal(framed, [[[[0.0, 5.0, 0.0, 7.0, 0.0]]]])


walks = st.builds(
    dict,
    size=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 5), st.integers(0, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
)


def walk_of(walk):
    """The geometry, where the window fits."""
    room = zip(*(walk[name] for name in ("size", "padding", "kernel", "dilation")))
    assume(all(n + 2 * p > d * (k - 1) for n, p, k, d in room))
    return geometry(**walk)


@law
@given(walks, st.integers(1, 3))
def test_depthwise_back_is_the_adjoint_in_the_picture(walk, many):
    """<w * x, y> = <x, back(y)>, with strides, dilations, and wide paddings too."""
    walk, draw = walk_of(walk), random_arrays(82)
    x, weight = draw(2, 3, *walk.size), draw(3 * many, 1, *walk.kernel)
    out = depthwise_banded(x, weight, walk)
    y = draw(*out.shape)
    back = depthwise_back(y, weight, walk, 3)
    assert back.shape == x.shape
    assert abs((out * y).sum() - (x * back).sum()) <= 1e-10


@law
@given(walks, st.integers(1, 3))
def test_depthwise_weight_is_the_adjoint_in_the_filter(walk, many):
    """<w * x, y> = <w, back(y, x)>: the output is linear in the filter too."""
    walk, draw = walk_of(walk), random_arrays(83)
    x, weight = draw(2, 3, *walk.size), draw(3 * many, 1, *walk.kernel)
    out = depthwise_banded(x, weight, walk)
    y = draw(*out.shape)
    d_weight = depthwise_weight(y, x, weight, walk)
    assert abs((out * y).sum() - (weight * d_weight).sum()) <= 1e-10
