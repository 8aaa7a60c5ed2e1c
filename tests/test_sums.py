"""The spec of refvlm/sums.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import Variable, grad
from refvlm.sums import BLOCK, FEW, mean_and_variance, total

from .spec import assert_close, example, law, tensors

MANY = 3_000_000


@example
def test_total_of_three_million_tenths():
    """A running total of them in float32 is 290,775."""
    tenths = np.full((MANY, 2), 0.1, np.float32)
    np.testing.assert_allclose(total(tenths, 0), 300_000, rtol=1e-5)


@example
def test_total_of_halves_does_not_stop():
    """4,096 ones are 4,096; 70,000 are more than float16 can say."""
    ones = np.ones((4096, 2), np.float16)
    assert total(ones, 0)[0] == 4096 and total(ones, 0).dtype == np.float16
    assert total(np.full((4096, 2), 0.1, np.float16), 0)[0] == 409.5
    assert total(np.ones((70_000, 2), np.float16), 0)[0] == np.inf


@law
@given(
    x=st.lists(st.integers(0, 3), min_size=1, max_size=4).flatmap(
        lambda shape: tensors(tuple(shape))
    ),
    keepdims=st.booleans(),
)
def test_total_is_numpys_sum(x, keepdims):
    """Over each axis, over all, and over none that is there."""
    for axis in (None, *range(-x.ndim, x.ndim), tuple(range(x.ndim))):
        assert_close(total(x, axis, keepdims), x.sum(axis, keepdims=keepdims))


@law
@pytest.mark.parametrize(
    "count", [BLOCK, FEW - 1, FEW, FEW + 1, FEW + BLOCK, BLOCK**2 + 7]
)
@pytest.mark.parametrize("axis", [0, 1, -2, (0, 1), (0, 2), (-2, -1), (-3, 1), None])
def test_total_counts_each_number_once(count, axis):
    """At the edges of a block, and of a block of blocks."""
    x = np.arange(count * 6, dtype=np.float64).reshape(2, count, 3)
    for view in (x, x.swapaxes(0, 1), x[::-1], np.asfortranarray(x)):
        np.testing.assert_array_equal(total(view, axis), view.sum(axis))


@law
def test_total_of_rows_that_lie_in_memory_anyhow():
    """Rows that are copies of one another, or that share their numbers."""
    tenths = np.full(200_000, 0.1, np.float32)
    for rows in (
        np.broadcast_to(tenths[:, None], (200_000, 4)),
        np.broadcast_to(tenths[:, None, None], (200_000, 4, 4)),
        np.lib.stride_tricks.sliding_window_view(tenths, 4),
        np.asfortranarray(np.repeat(tenths[:, None], 4, axis=1)),
        np.repeat(tenths[:, None], 8, axis=1)[:, ::-2],
    ):
        np.testing.assert_allclose(total(rows, 0), 0.1 * len(rows), rtol=1e-5)


@law
def test_what_a_sum_sends_back_is_gathered():
    """The gradient of a bias, when the loss is a sum that was broadcast."""
    x, weight = np.zeros((300_000, 1), np.float32), np.zeros((4, 1), np.float32)
    tenths = np.full(300_000, 0.1, np.float32)

    def loss(bias):
        return (ops.linear(x, weight, bias).sum(-1) * tenths).sum()

    d_bias = grad(loss)(np.zeros(4, np.float32))
    np.testing.assert_allclose(d_bias, 30_000, rtol=1e-5)


@example
def test_total_of_one_number():
    """An array of no axes has its own sum along each that one may name, as in NumPy."""
    for axis in (None, 0, -1):
        assert total(np.array(2.5), axis) == np.array(2.5).sum(axis)


@law
def test_a_mean_does_not_ask_how_a_picture_lies_in_memory():
    """Four million tenths, the channels last or first."""
    last = np.full((2048, 2048, 2), 0.1, np.float32)
    for picture in (last.transpose(2, 0, 1), last.transpose(2, 0, 1).copy()):
        np.testing.assert_allclose(ops.global_avg_pool2d(picture), 0.1, rtol=1e-5)


@law
@pytest.mark.filterwarnings("ignore:invalid value")
def test_a_mean_of_nothing_is_no_number():
    """As NumPy's, and no division by zero of Python's."""
    mean = Variable(np.zeros((0, 3))).mean(0).value
    np.testing.assert_array_equal(mean, [np.nan] * 3)


@law
def test_total_of_what_is_special():
    """NaN and infinity stay in their columns."""
    x = np.ones((300, 3))
    x[7, 0], x[200, 1] = np.nan, np.inf
    np.testing.assert_array_equal(total(x, 0), [np.nan, np.inf, 300])


@example
def test_mean_and_variance_far_from_zero():
    """Numbers about 1,000 with a spread of one, half a million of them."""
    x = 1000 + np.random.RandomState(0).randn(500_000, 2).astype(np.float32)
    mean, variance = mean_and_variance(x, (0,))
    exact = x.astype(np.float64)
    np.testing.assert_allclose(mean, exact.mean(0), rtol=1e-6)
    np.testing.assert_allclose(variance, exact.var(0), rtol=1e-4)


@example
def test_a_bias_gathers_three_million_tenths():
    """The gradient of what was added to every row, and the mean of as many rows."""
    d_out = np.full((MANY, 2), 0.1, np.float32)
    x, weight = np.zeros((MANY, 1), np.float32), np.zeros((2, 1), np.float32)
    bias = Variable(np.zeros(2, np.float32))
    (d_bias,) = ops.linear(x, weight, bias).pullback(d_out)
    np.testing.assert_allclose(d_bias, 300_000, rtol=1e-5)
    mean = ops.masked_mean(d_out[None], np.ones((1, MANY), bool), 1)
    np.testing.assert_allclose(mean, 0.1, rtol=1e-5)


@law
def test_a_mean_of_halves_may_have_a_sum_that_is_too_large():
    """Of 300 numbers of 300 the sum is 90,000, beyond float16; the mean is 300."""
    gradient = grad(lambda x: x.mean())(np.full((300, 1), 300, np.float16))
    assert Variable(np.full((300, 2), 300, np.float16)).mean(0).value[0] == 300
    np.testing.assert_allclose(gradient, 1 / 300, rtol=1e-3)


@law
def test_a_traced_sum_is_one_too():
    """What the tape's sum gives is what the array's gives."""
    tenths = np.full((MANY, 2), 0.1, np.float32)
    np.testing.assert_allclose(Variable(tenths).sum(0).value, 300_000, rtol=1e-5)


@law
def test_what_was_broadcast_gathers_halves():
    """Ten thousand rows that one number was added to: its gradient is 10,000."""
    ones = np.ones((10_000, 1), np.float16)
    gradient = grad(lambda b: (b + ones).sum())(np.zeros((1, 1), np.float16))
    assert gradient == 10_000
