"""The spec of refvlm/kernels/windows.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm.kernels.windows import (
    geometry,
    geometry_back,
    overlap_add,
    pad,
    taps,
    windows,
)
from refvlm.shapes import ShapeError

from ..spec import assert_close, contract, example, law, random_arrays


@example
def test_windows_slide_over_a_row():
    """Windows of two over four numbers: three of them, as columns."""
    looked = windows(np.array([1.0, 2.0, 3.0, 4.0]), geometry((4,), 2))
    np.testing.assert_array_equal(looked, [[1.0, 2.0, 3.0], [2.0, 3.0, 4.0]])


@example
def test_geometry_with_same_padding_keeps_the_size():
    """An even window has an odd number to add: the extra one goes after."""
    walk = geometry((5, 6), (3, 4), padding="same")
    assert walk.out == (5, 6)
    assert walk.padding == ((1, 1), (1, 2))


walks = st.builds(
    dict,
    size=st.tuples(st.integers(5, 9), st.integers(5, 9)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
)


@law
@given(walks)
def test_windows_are_x_at_stride_times_place_plus_dilation_times_tap(walk):
    """Entry [u, v, i, j] is the padded x at (i s + u d, j s + v d)."""
    walk = geometry(**walk)
    x = random_arrays(1)(2, *walk.size)
    padded, looked = pad(x, walk), windows(x, walk)
    for u, v, i, j in np.ndindex(*walk.kernel, *walk.out):
        row = i * walk.stride[0] + u * walk.dilation[0]
        column = j * walk.stride[1] + v * walk.dilation[1]
        np.testing.assert_array_equal(looked[:, u, v, i, j], padded[:, row, column])


@law
@given(walks)
def test_geometry_takes_every_step_that_fits_and_no_more(walk):
    """The last window lies inside the padded axis; one more step would not."""
    walk = geometry(**walk)
    for axis in range(2):
        reach = walk.dilation[axis] * (walk.kernel[axis] - 1) + 1
        room = walk.size[axis] + sum(walk.padding[axis])
        last = (walk.out[axis] - 1) * walk.stride[axis] + reach
        assert last <= room < last + walk.stride[axis]


@law
@given(walks)
def test_geometry_with_ceil_mode_leaves_no_pixel_behind_a_window(walk):
    """Every window begins inside, and the next would not or has nothing new to see."""
    walk["padding"] = tuple(k // 2 for k in walk["kernel"])
    usual, walk = geometry(**walk), geometry(**walk, ceil_mode=True)
    for axis in range(2):
        n, (before, after) = walk.size[axis], usual.padding[axis]
        reach = walk.dilation[axis] * (walk.kernel[axis] - 1) + 1
        last = (walk.out[axis] - 1) * walk.stride[axis]
        assert last < n + before
        following = last + walk.stride[axis]
        assert last + reach >= n + before + after or following >= n + before


@law
@given(walks)
def test_geometry_back_leads_to_the_size_it_was_given(walk):
    """Walk to a size, and back from it: what the stride left over is output padding."""
    walk = geometry(**walk)
    options = walk.kernel, walk.stride, tuple(before for before, _ in walk.padding)
    extra = [
        (n + sum(p) - d * (k - 1) - 1) % s
        for n, p, d, k, s in zip(
            walk.size, walk.padding, walk.dilation, walk.kernel, walk.stride
        )
    ]
    assert geometry_back(walk.out, *options, extra, walk.dilation) == walk


@law
@given(walks)
def test_overlap_add_is_the_adjoint_of_windows(walk):
    """<windows(x), y> = <x, overlap_add(y)>."""
    walk = geometry(**walk)
    draw = random_arrays(2)
    x, y = draw(3, *walk.size), draw(3, *walk.kernel, *walk.out)
    there, back = (windows(x, walk) * y).sum(), (x * overlap_add(y, walk)).sum()
    assert abs(there - back) <= 1e-10


@law
@given(walks)
def test_taps_read_what_windows_read(walk):
    """The slices of a tap are the windows' entries for that tap."""
    walk = geometry(**walk)
    x = random_arrays(3)(2, *walk.size)
    padded, looked = pad(x, walk), windows(x, walk)
    for tap, places in taps(walk):
        np.testing.assert_array_equal(padded[:, *places], looked[:, *tap])


@law
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_windows_work_over_any_number_of_axes(axes):
    """Windows of ones count the pixels they see: two along every axis."""
    walk = geometry((4,) * axes, 2)
    x = np.ones((4,) * axes)
    counts = windows(x, walk).sum(axis=tuple(range(axes)))
    np.testing.assert_array_equal(counts, np.full((3,) * axes, 2.0**axes))
    assert_close(overlap_add(windows(x, walk), walk).sum(), np.float64(6.0**axes))


@law
def test_windows_cannot_be_written_to():
    """They are a view: a careless write would change the input."""
    with pytest.raises(ValueError, match="read-only"):
        windows(np.zeros(4), geometry((4,), 2))[0, 0] = 1


@contract
def test_geometry_refuses_same_padding_with_a_stride():
    """What would be the same after a stride of two?"""
    with pytest.raises(ValueError, match='"same" needs stride 1'):
        geometry((4, 4), 3, stride=2, padding="same")


@contract
def test_geometry_refuses_an_unknown_padding():
    """There are two words."""
    with pytest.raises(ValueError, match="not 'reflect'"):
        geometry((4, 4), 3, padding="reflect")


@contract
def test_geometry_refuses_a_window_that_does_not_fit():
    """A dilated window reaches further than its number of taps."""
    with pytest.raises(ShapeError, match=r"window of \(5, 3\) does not fit into \(4,"):
        geometry((4, 4), 3, dilation=(2, 1))
