"""The spec of refvlm/blocks/convolutional/layout.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.blocks.convolutional.layout import conv2d_nhwc, nchw_to_nhwc, nhwc_to_nchw
from refvlm.shapes import ShapeError

from ...spec import (
    assert_close,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)

CASES = [
    ((2, 7, 6, 3), (4, 3, 3, 3), {}),
    ((1, 8, 9, 5), (2, 5, 3, 2), {"stride": 2, "padding": 1}),
    ((2, 5, 5, 2), (3, 2, 1, 1), {"stride": (1, 3)}),
    ((1, 4, 6, 1), (2, 1, 4, 6), {"padding": (0, 2)}),
]


@example
def test_nchw_to_nhwc_puts_the_colours_of_a_pixel_together():
    """Two planes of two pixels become two pixels of two colours."""
    planes = np.array([1, 2, 10, 20]).reshape(1, 2, 1, 2)
    np.testing.assert_array_equal(nchw_to_nhwc(planes).ravel(), [1, 10, 2, 20])


@law
def test_layouts_undo_each_other_without_a_copy():
    """Only the strides change: the numbers stay where they are."""
    x = random_arrays(1)(2, 3, 4, 5)
    there = nchw_to_nhwc(x)
    assert there.shape == (2, 4, 5, 3) and np.shares_memory(there, x)
    np.testing.assert_array_equal(nhwc_to_nchw(there), x)


@law
@given(st.integers(1, 3), st.integers(0, 2), st.integers(1, 3), st.integers(1, 3))
def test_conv2d_nhwc_is_conv2d_of_planes(stride, padding, height, width):
    """A convolution does not depend on how its picture lies in memory."""
    draw = random_arrays(height + 10 * width)
    x, weight, bias = draw(2, 5, 6, 3), draw(4, 3, height, width), draw(4)
    planes = ops.conv2d(nhwc_to_nchw(x), weight, bias, stride, padding)
    ours = conv2d_nhwc(x, weight, bias, stride, padding)
    assert_close(ours, np.ascontiguousarray(nchw_to_nhwc(planes)))


@oracle
@pytest.mark.parametrize("shape, filters, options", CASES)
def test_conv2d_nhwc_equals_torch_channels_last(compare, shape, filters, options):
    """PyTorch's of the same picture, its memory in channels_last; gradients too."""
    draw = random_arrays(2)

    def reference(torch):
        def run(x, weight, bias):
            planes = x.permute(0, 3, 1, 2)  # a view with channels_last strides
            assert planes.is_contiguous(memory_format=torch.channels_last)
            out = torch.nn.functional.conv2d(planes, weight, bias, **options)
            return out.permute(0, 2, 3, 1)

        return run

    def ours(x, weight, bias):
        return conv2d_nhwc(x, weight, bias, **options)

    compare(ours, reference, draw(*shape), draw(*filters), draw(filters[0]))


@derivative
def test_conv2d_nhwc_derivative():
    """Of the picture, of the filters and of the bias."""
    draw = random_arrays(3)
    check_vjp(conv2d_nhwc, draw(1, 4, 3, 2), draw(2, 2, 2, 2), draw(2), padding=1)


@contract
def test_conv2d_nhwc_refuses_what_does_not_fit():
    """Planes instead of pixels, filters that are too large, steps of none."""
    x, weight = np.zeros((1, 4, 4, 3)), np.zeros((2, 3, 3, 3))
    with pytest.raises(ShapeError, match="conv2d_nhwc: weight"):
        conv2d_nhwc(nhwc_to_nchw(x), weight)
    with pytest.raises(ShapeError, match=r"\(5, 5\) does not fit into x padded"):
        conv2d_nhwc(x, np.zeros((2, 3, 5, 5)))
    with pytest.raises(ValueError, match="conv2d_nhwc: stride"):
        conv2d_nhwc(x, weight, stride=0)
