"""The spec of refvlm/kernels/banded.py."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from refvlm.kernels import banded
from refvlm.kernels.windows import geometry
from refvlm.shapes import ShapeError

from ..spec import example, law, random_arrays

pairs = st.tuples(st.integers(1, 4), st.integers(1, 4))
paddings = st.tuples(
    st.tuples(st.integers(0, 4), st.integers(0, 4)),
    st.tuples(st.integers(0, 4), st.integers(0, 4)),
)


def by_definition(x, weight, walk, bias):
    """The sum over the filter, one output at a time."""
    padded = np.pad(x, ((0, 0), (0, 0), *walk.padding))
    many = len(weight) // x.shape[1]
    out = np.empty((len(x), len(weight), *walk.out))
    for channel, i, j in np.ndindex(out.shape[1:]):
        rows = i * walk.stride[0] + walk.dilation[0] * np.arange(walk.kernel[0])
        columns = j * walk.stride[1] + walk.dilation[1] * np.arange(walk.kernel[1])
        seen = padded[:, channel // many][:, rows[:, None], columns]
        total = (seen * weight[channel, 0]).sum(axis=(1, 2))
        out[:, channel, i, j] = total + bias[channel]
    return out


@example
def test_band_holds_the_filter_once_for_each_row_of_output():
    """Each row of the matrix is the filter again, one step further along."""
    walk = geometry((6, 1), (3, 1))
    filters = banded.band(np.array([1.0, 2.0, 3.0]).reshape(1, 1, 3, 1), walk)
    rows = [np.roll([1, 2, 3, 0, 0, 0], row) for row in range(4)]
    np.testing.assert_array_equal(filters[0, 0], rows)


@example
def test_shifts_copy_the_picture_once_for_each_column_of_the_filter():
    """A row 5 6 7 under a filter of width 3, padded by one: left, middle, right."""
    walk = geometry((1, 3), (1, 3), padding=(0, 1))
    shifted = banded.shifts(np.array([[[5.0, 6.0, 7.0]]]), walk)
    np.testing.assert_array_equal(shifted[0, 0], [[0, 5, 6], [5, 6, 7], [6, 7, 0]])


@law
@given(
    st.tuples(st.integers(1, 2), st.integers(1, 3), st.integers(1, 3)),
    st.tuples(st.integers(1, 11), st.integers(1, 11)),
    pairs,
    pairs,
    paddings,
    pairs,
    st.integers(0, 2**32 - 1),
)
def test_depthwise_banded_is_the_sum_over_the_filter(
    counts, size, kernel, stride, padding, dilation, seed
):
    """Any kernel, stride, padding, dilation, size, batch and number of filters."""
    images, channels, many = counts
    try:
        walk = geometry(size, kernel, stride, padding, dilation)
    except ShapeError:
        assume(False)
    draw = random_arrays(seed)
    x, bias = draw(images, channels, *size), draw(channels * many)
    weight = draw(channels * many, 1, *kernel)
    np.testing.assert_allclose(
        banded.depthwise_banded(x, weight, walk, bias),
        by_definition(x, weight, walk, bias),
        rtol=0,
        atol=1e-13 * kernel[0] * kernel[1] * 10,
    )


@law
def test_depthwise_banded_is_the_same_in_pieces(monkeypatch):
    """A buffer for one plane, or for all of them: the planes do not know."""
    draw = random_arrays(4)
    x, weight, bias = draw(3, 5, 9, 8), draw(10, 1, 7, 7), draw(10)
    walk = geometry((9, 8), 7, 2, 3)
    whole = banded.depthwise_banded(x, weight, walk, bias)
    monkeypatch.setattr(banded, "BUFFER", 1)
    pieces = banded.depthwise_banded(x, weight, walk, bias)
    np.testing.assert_allclose(pieces, whole, rtol=0, atol=1e-13)


@law
@pytest.mark.parametrize("images", [1, 3])
def test_depthwise_banded_leaves_what_is_not_finite(images):
    """A zero of the band times infinity would be nan in rows that never saw it."""
    draw = random_arrays(5)
    x, weight = draw(images, 2, 9, 5), draw(2, 1, 3, 3)
    walk = geometry((9, 5), 3, 1, 1)
    assert banded.depthwise_banded(x, weight, walk) is not NotImplemented
    x[-1, 1, 4, 2] = np.inf
    assert banded.depthwise_banded(x, weight, walk) is NotImplemented


@law
def test_depthwise_banded_of_no_images_is_empty():
    """A batch of none."""
    draw = random_arrays(6)
    x, weight = draw(0, 2, 9, 5), draw(4, 1, 3, 3)
    out = banded.depthwise_banded(x, weight, geometry((9, 5), 3, 1, 1))
    assert out.shape == (0, 4, 9, 5)


@law
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [3, 7])
def test_depthwise_banded_in_float32_is_as_exact_as_its_type(kernel, stride):
    """The zeros of the band add no rounding."""
    draw = random_arrays(8)
    x, weight, bias = draw(1, 4, 33, 29), draw(4, 1, kernel, kernel), draw(4)
    walk = geometry((33, 29), kernel, stride, kernel // 2)
    wide = banded.depthwise_banded(x, weight, walk, bias)
    narrow = [part.astype(np.float32) for part in (x, weight, bias)]
    out = banded.depthwise_banded(narrow[0], narrow[1], walk, narrow[2])
    assert out.dtype == np.float32
    np.testing.assert_allclose(out, wide, atol=1e-5 * np.abs(wide).max())


@law
def test_depthwise_banded_leaves_its_inputs_alone():
    """The shifted copies and the band are its own."""
    draw = random_arrays(9)
    inputs = draw(1, 2, 6, 6), draw(2, 1, 3, 3), draw(2)
    before = [part.copy() for part in inputs]
    banded.depthwise_banded(inputs[0], inputs[1], geometry((6, 6), 3), inputs[2])
    for part, copy in zip(inputs, before):
        np.testing.assert_array_equal(part, copy)
