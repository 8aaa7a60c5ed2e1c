"""The spec of refvlm/kernels/gates.py."""

import numpy as np
import pytest

from refvlm.kernels import gates, pieces
from refvlm.ops import sigmoid as operator

from ..spec import FLOATING, assert_close, law, random_arrays

CURVES = {
    "sigmoid": gates.sigmoid,
    "silu": gates.silu,
    "silu_vjp": lambda x: gates.silu_vjp(np.cos(x), x),
}
every_curve = pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES.keys())


@pytest.fixture(autouse=True)
def few_are_enough(monkeypatch):
    """The kernel takes what is else left to the definition."""
    monkeypatch.setattr(gates, "FEW", 0)


@law
@every_curve
@pytest.mark.parametrize("dtype", FLOATING[1:])
def test_a_gate_closes_without_a_word(curve, dtype):
    """The exponential on the way to 0 is too large for any float, and nobody hears."""
    x = np.array([-np.finfo(dtype).max, -1e4, 0, 1e4], dtype)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        left, near, middle, right = curve(x)
    assert left == near == 0
    assert np.isfinite([middle, right]).all()


@law
@every_curve
def test_gates_are_the_same_in_pieces_of_any_size(curve, monkeypatch):
    """To the last bit, of a transposed array too, and of none."""
    x = random_arrays(21)(37, 13).astype(np.float32)
    whole = curve(x)
    monkeypatch.setattr(pieces, "NUMBERS", 50)
    np.testing.assert_array_equal(curve(x), whole)
    np.testing.assert_array_equal(curve(x.T), whole.T)
    assert curve(x[:0]).shape == (0, 13)
    assert curve(x[0, 0].reshape(())) == whole[0, 0]


@law
def test_the_sigmoid_of_many_is_its_definition():
    """And nan and both infinities are where they are by it."""
    x = random_arrays(22)(3, 9, scale=30.0)
    x[0, :3] = np.nan, np.inf, -np.inf
    for dtype in FLOATING[1:]:
        wide = x.astype(dtype)
        assert_close(gates.sigmoid(wide), operator.definition(wide))


@law
def test_what_does_not_gain_is_left_to_the_definition(monkeypatch):
    """A gradient that has to broadcast, and the sigmoid of few numbers."""
    x = np.ones((2, 3))
    assert gates.silu_vjp(x[:1], x) is NotImplemented
    assert gates.silu_vjp(x.astype(np.float32), x) is NotImplemented
    monkeypatch.setattr(gates, "FEW", 7)
    assert gates.sigmoid(x) is NotImplemented
