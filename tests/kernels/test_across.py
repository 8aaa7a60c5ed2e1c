"""The spec of refvlm/kernels/across.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.autodiff import Variable, backward
from refvlm.kernels import across, convolution
from refvlm.kernels.across import (
    band_across,
    depthwise_across,
    depthwise_across_vjp,
    filters_of,
)
from refvlm.kernels.banded import depthwise_banded
from refvlm.kernels.windows import geometry
from refvlm.ops import conv2d

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


def a_call():
    """d_out, x and weight of three pictures of five channels, and their walk."""
    draw, walk = random_arrays(86), geometry((9, 8), 3, (2, 1), 1)
    return draw(3, 10, *walk.out), draw(3, 5, 9, 8), draw(10, 1, 3, 3), walk


@law
def test_across_is_the_same_in_pieces(monkeypatch):
    """A channel at a time, or all of them: forward and back, nobody can tell."""
    d_out, x, weight, walk = a_call()

    def results():
        out = depthwise_across(x, weight, walk, np.arange(10.0))
        return out, *depthwise_across_vjp(d_out, x, weight, walk, ("x", "weight"))

    whole = results()
    for piece in (1, 2 * x[:, 0].size):
        monkeypatch.setattr(across, "PIECE", piece)
        for part, expected in zip(results(), whole):
            assert_close(part, expected, 1e-12)


@law
@pytest.mark.parametrize("piece", [1, across.PIECE])
def test_across_leaves_what_is_not_finite(monkeypatch, piece):
    """A zero of the band times infinity would be nan where it was never seen."""
    monkeypatch.setattr(across, "PIECE", piece)
    _, x, weight, walk = a_call()
    assert depthwise_across(x, weight, walk) is not NotImplemented
    x[1, 3, 4, 2] = np.inf
    assert depthwise_across(x, weight, walk) is NotImplemented


@law
@pytest.mark.parametrize("piece", [1, across.PIECE])
@pytest.mark.parametrize(
    ("spoilt", "needs", "left"),
    [
        ("nothing", ("x", "weight"), False),
        ("d_out", ("x",), True),
        ("d_out", ("weight",), True),
        ("x", ("x", "weight"), True),
        ("x", ("weight",), True),
        ("x", ("x",), False),
    ],
)
def test_the_derivatives_leave_what_is_not_finite(
    monkeypatch, piece, spoilt, needs, left
):
    """The gradient of x does not look at x; all else that looks is left."""
    monkeypatch.setattr(across, "PIECE", piece)
    d_out, x, weight, walk = a_call()
    if spoilt != "nothing":
        {"d_out": d_out, "x": x}[spoilt][1, 3, 4, 2] = np.inf
    found = depthwise_across_vjp(d_out, x, weight, walk, needs)
    assert (found is NotImplemented) == left


@law
@pytest.mark.parametrize(
    ("width", "taped", "reached"),
    [
        (16, True, ["depthwise_across", "depthwise_across_vjp"]),
        (17, True, ["depthwise_banded", "depthwise_vjp"]),
        (16, False, ["depthwise_banded"]),
    ],
)
def test_taped_and_narrow_calls_go_across(monkeypatch, width, taped, reached):
    """As wide as 16 with a tape; wider, or without one, goes down the columns."""
    went = []

    def watched(name):
        quick = getattr(convolution, name)

        def watch(*args):
            went.append(name)
            return quick(*args)

        return watch

    for name in ("banded", "across", "across_vjp", "vjp"):
        name = f"depthwise_{name}"
        monkeypatch.setattr(convolution, name, watched(name))
    draw = random_arrays(87)
    x, weight = draw(2, 4, 6, width), draw(4, 1, 3, 3)
    out = conv2d(x, Variable(weight) if taped else weight, None, 1, 1, 1, 4)
    if taped:
        backward(out, np.ones(out.shape))
    assert went == reached
