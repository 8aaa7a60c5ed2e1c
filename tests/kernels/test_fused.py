"""The spec of refvlm/kernels/fused.py: pieces of any size, and no seam between them."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.kernels import fused
from refvlm.variable import Variable

from ..spec import assert_close, example, law, random_arrays


@example
def test_rows_seen_by_a_strided_convolution():
    """Rows 2 and 3 of a 3 x 3 with stride 2 look at rows 3 to 7; row 0 at padding."""
    assert fused.rows_seen(slice(2, 4), 3, 2, 100) == (slice(3, 8), (0, 0))
    assert fused.rows_seen(slice(0, 1), 3, 2, 100) == (slice(0, 2), (1, 0))
    assert fused.rows_seen(slice(49, 50), 3, 2, 99) == (slice(97, 99), (0, 1))


@law
@pytest.mark.parametrize("pixels", [1, 7, 256])
def test_pointwise_mlp_is_the_same_in_pieces(pixels, monkeypatch):
    """The pixels of a picture, a few at a time."""
    monkeypatch.setattr(fused, "PIXELS", pixels)
    draw = random_arrays(31)
    weights = draw(7, 5, 1, 1), draw(7), draw(5, 7, 1, 1), draw(5)
    x = draw(2, 5, 9, 6)
    expected = ops.pointwise_mlp.definition(x, *weights)
    assert_close(fused.pointwise_mlp(x, *weights), expected)


@law
@pytest.mark.parametrize("columns", [1, 4, 512])
@pytest.mark.parametrize("tokens", [(3,), (1, 40), (2, 3, 11)])
def test_gated_linear_is_the_same_in_pieces(tokens, columns, monkeypatch):
    """One token or many, some columns at a time."""
    monkeypatch.setattr(fused, "COLUMNS", columns)
    draw = random_arrays(34)
    x, gate, up = draw(*tokens, 5), draw(9, 5, scale=30.0), draw(9, 5)
    expected = ops.gated_linear.definition(x, gate, up)
    assert_close(fused.gated_linear(x, gate, up), expected)


@law
@pytest.mark.parametrize("numbers", [1, 50, 1 << 18])
@pytest.mark.parametrize("order", ["C", "F"])
def test_add_scaled_is_the_same_in_pieces(order, numbers, monkeypatch):
    """Some channels at a time, however the branch lies in memory."""
    monkeypatch.setattr(fused, "NUMBERS", numbers)
    draw = random_arrays(32)
    x, branch, gamma = draw(2, 3, 4, 5), draw(2, 3, 4, 5), draw(3, 1, 1)
    expected = x + gamma * branch
    assert_close(fused.add_scaled(x, np.array(branch, order=order), gamma), expected)


@law
@pytest.mark.parametrize("rows", [1, 3, 8])
@pytest.mark.parametrize("size", [(64, 64), (37, 50), (5, 3)])
@pytest.mark.parametrize("kernels", [(3, 3), (2, 5)])
def test_convolutional_stem_is_the_same_in_bands(kernels, size, rows, monkeypatch):
    """Bands of any height, pictures of any size: no seam can be seen."""
    monkeypatch.setattr(fused, "ROWS", rows)
    draw = random_arrays(3)
    first, second = kernels
    weights = draw(6, 3, first, first), draw(6), draw(6, 1, second, second), draw(6)
    x, last = draw(2, 3, *size), (draw(6, 6, 1, 1), draw(6))
    expected = ops.convolutional_stem.definition(x, *weights, *last)
    assert_close(fused.convolutional_stem(x, *weights, *last), expected)


@law
@pytest.mark.parametrize("place", range(3))
def test_fused_kernels_leave_what_is_traced_to_the_definition(place):
    """They keep nothing that the way back could read."""
    draw = random_arrays(35)
    given = [draw(3, 5), draw(9, 5), draw(9, 5)]
    given[place] = Variable(given[place])
    assert fused.gated_linear(*given) is NotImplemented
