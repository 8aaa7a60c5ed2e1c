"""The spec of refvlm/ops/convolution.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    check_dtype,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)


@example
def test_conv2d_finds_an_edge():
    """The filter [-1, 1] answers where brightness jumps, and nowhere else."""
    picture = np.array([[[0.0, 0.0, 5.0, 5.0]]])
    edges = ops.conv2d(picture, np.array([[[[-1.0, 1.0]]]]))
    np.testing.assert_array_equal(edges, [[[0.0, 5.0, 0.0]]])


@example
def test_conv2d_does_not_flip_the_filter():
    """An impulse comes out as the filter turned round: this is cross-correlation."""
    impulse = np.zeros((1, 3, 3))
    impulse[0, 1, 1] = 1
    kernel = np.arange(9.0).reshape(1, 1, 3, 3)
    out = ops.conv2d(impulse, kernel, padding=1)
    np.testing.assert_array_equal(out[0], kernel[0, 0, ::-1, ::-1])


CASES = {
    "plain": dict(x=(2, 3, 6, 5), weight=(4, 3, 3, 2)),
    "unbatched": dict(x=(3, 6, 5), weight=(4, 3, 3, 2), stride=2),
    "stride and padding": dict(
        x=(2, 3, 7, 8), weight=(4, 3, 3, 3), stride=(2, 3), padding=(1, 2)
    ),
    "dilation": dict(x=(1, 2, 9, 8), weight=(3, 2, 3, 2), dilation=(2, 3), padding=2),
    "groups": dict(x=(2, 6, 5, 5), weight=(4, 3, 3, 3), groups=2, padding=1),
    "depthwise": dict(x=(2, 5, 6, 7), weight=(5, 1, 3, 3), groups=5, padding=1),
    "depthwise, doubling": dict(
        x=(2, 3, 9, 7), weight=(6, 1, 7, 7), groups=3, padding=3, stride=2
    ),
    "pointwise": dict(x=(2, 5, 3, 4), weight=(7, 5, 1, 1)),
    "same, even kernel": dict(x=(2, 3, 5, 6), weight=(4, 3, 4, 2), padding="same"),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def convolution(request):
    """(x, weight, bias) and the options of one case."""
    options = dict(request.param)
    draw = random_arrays(11)
    x, weight = draw(*options.pop("x")), draw(*options.pop("weight"))
    return (x, weight, draw(len(weight))), options


@law
def test_conv2d_equals_its_definition(convolution):
    """One matrix product over all windows gives the sum as it is written."""
    arrays, options = convolution
    assert_close(
        ops.conv2d(*arrays, **options), ops.conv2d_by_definition(*arrays, **options)
    )


@law
@given(
    tensors((2, 5, 5)), tensors((3, 2, 3, 3)), st.integers(-2, 2), st.integers(-2, 2)
)
def test_conv2d_moves_with_the_picture(x, weight, down, right):
    """Shift the picture and the answer shifts: the filter is the same everywhere."""
    framed = np.pad(x, ((0, 0), (4, 4), (4, 4)))
    moved = np.roll(framed, (down, right), axis=(1, 2))
    out = ops.conv2d(framed, weight)
    assert_close(
        np.roll(out, (down, right), axis=(1, 2)), ops.conv2d(moved, weight), 1e-12
    )


@law
@given(tensors((2, 4, 4)), tensors((2, 4, 4)), tensors((3, 2, 3, 3)))
def test_conv2d_is_linear_in_the_picture(x, other, weight):
    """Filtering a sum is summing the filtered."""
    together = ops.conv2d(x + 3.0 * other, weight)
    apart = ops.conv2d(x, weight) + 3.0 * ops.conv2d(other, weight)
    assert np.abs(together - apart).max() <= 1e-10


@law
def test_conv2d_keeps_the_dtype(convolution):
    """float16 in, float16 out; and nothing that came in was written to."""
    arrays, options = convolution
    check_dtype(ops.conv2d, *arrays, **options)


@oracle
def test_conv2d_equals_torch(compare, convolution):
    """PyTorch's conv2d and its gradients, over strides, dilations and groups."""
    arrays, options = convolution
    compare(ops.conv2d, lambda torch: torch.nn.functional.conv2d, *arrays, **options)


@derivative
def test_conv2d_derivative(convolution):
    """Read backwards through the same window: the vjp equals central differences."""
    arrays, options = convolution
    check_vjp(ops.conv2d, *arrays, **options)


@contract
def test_conv2d_refuses_channels_that_do_not_fit():
    """The message says how many channels the weight reads and how many there are."""
    with pytest.raises(ShapeError, match="reads 2 channels .* has 3"):
        ops.conv2d(np.zeros((3, 5, 5)), np.zeros((4, 2, 3, 3)))


@contract
def test_conv2d_refuses_a_window_larger_than_the_picture():
    """A 5 x 5 window does not fit into 4 x 9."""
    with pytest.raises(ShapeError, match=r"window of \(5, 5\) .* \(4, 9\)"):
        ops.conv2d(np.zeros((1, 4, 9)), np.zeros((1, 1, 5, 5)))


@contract
@pytest.mark.parametrize("bad", [dict(stride=0), dict(padding=-1), dict(dilation=0)])
def test_conv2d_refuses_impossible_walks(bad):
    """A stride of zero would never arrive; negative padding is a crop."""
    with pytest.raises(ValueError, match="at least 1|negative"):
        ops.conv2d(np.zeros((1, 4, 4)), np.zeros((1, 1, 1, 1)), **bad)
