"""The spec of refvlm/ops/pooling.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import Variable, backward
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    call,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    pulled_back,
    random_arrays,
    tensors,
)

PICTURE = np.array([[[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0], [9.0, 1.0, 0.0, 0.0]]])


@example
def test_max_pool2d_keeps_the_largest_of_each_window():
    """2 x 2 windows side by side; the last row fills no window and is left out."""
    np.testing.assert_array_equal(ops.max_pool2d(PICTURE, 2), [[[4.0, 8.0]]])


@example
def test_max_pool2d_with_ceil_mode_takes_the_last_row_too():
    """A window that lies partly outside looks at what is inside."""
    np.testing.assert_array_equal(
        ops.max_pool2d(PICTURE, 2, ceil_mode=True), [[[4.0, 8.0], [9.0, 0.0]]]
    )


@example
def test_avg_pool2d_takes_the_mean_of_each_window():
    """(1 + 2 + 3 + 4) / 4 and (5 + 6 + 7 + 8) / 4."""
    np.testing.assert_array_equal(ops.avg_pool2d(PICTURE, 2), [[[2.5, 6.5]]])


@example
def test_adaptive_avg_pool2d_shares_a_pixel_between_windows():
    """Three pixels into two windows: the middle one is in both."""
    np.testing.assert_array_equal(
        ops.adaptive_avg_pool2d(np.array([[[1.0, 5.0, 3.0]]]), (1, 2)), [[[3.0, 4.0]]]
    )


@example
def test_global_avg_pool2d_leaves_one_number_a_channel():
    """The mean of 1, 5, 2 and 4 is 3."""
    assert ops.global_avg_pool2d(np.array([[[1.0, 5.0], [2.0, 4.0]]])) == [3.0]


WALKS = {
    "plain": dict(kernel_size=2),
    "overlapping": dict(kernel_size=3, stride=2),
    "uneven": dict(kernel_size=(3, 2), stride=(1, 2), padding=(1, 0)),
    "padded": dict(kernel_size=(2, 4), padding=(1, 2)),
    "ceil": dict(kernel_size=3, stride=(2, 3), ceil_mode=True),
    "ceil, padded": dict(kernel_size=3, stride=3, padding=1, ceil_mode=True),
}
DILATED = {
    "dilated": dict(kernel_size=(2, 3), stride=1, padding=1, dilation=(3, 2)),
    "dilated, ceil": dict(kernel_size=2, stride=3, dilation=2, ceil_mode=True),
}
COUNTED = {
    "pixels only": dict(kernel_size=3, stride=2, padding=1, count_include_pad=False),
    "pixels only, ceil": dict(
        kernel_size=(3, 2), padding=1, ceil_mode=True, count_include_pad=False
    ),
    "a sum": dict(kernel_size=(2, 3), padding=1, divisor_override=1),
}


SIZES = [1, 3, (5, 2), (None, 3), (9, 10)]

draw = random_arrays(50)
PAIR, NOTHING = draw(2, 3, 7, 8), np.zeros((0, 3, 7, 8))
CALLS = {
    "max_pool2d": [
        *[call(PAIR, **walk) for walk in (WALKS | DILATED).values()],
        call(NOTHING, 2),
    ],
    "avg_pool2d": [
        *[call(PAIR, **walk) for walk in (WALKS | COUNTED).values()],
        call(NOTHING, 2),
    ],
    "adaptive_avg_pool2d": [
        *[call(PAIR, size) for size in SIZES],
        call(NOTHING, output_size=2),
    ],
    "global_avg_pool2d": [call(PAIR), call(PAIR[0]), call(NOTHING)],
}


def cases(*groups):
    named = {name: walk for group in groups for name, walk in group.items()}
    return pytest.mark.parametrize("walk", named.values(), ids=named.keys())


def picture(*shape):
    return random_arrays(51)(*(shape or (2, 3, 7, 8)))


@law
@cases(WALKS, DILATED)
def test_max_pool2d_is_the_largest_of_the_unfolded_window(walk):
    """Unfold each channel; the largest entry of each column is the answer."""
    x = picture(5, 1, 7, 8)
    if walk.get("ceil_mode"):  # unfold has no ceil_mode: write the room out
        x = np.pad(x, ((0, 0), (0, 0), (0, 3), (0, 3)), constant_values=-np.inf)
        walk = {name: walk[name] for name in walk if name != "ceil_mode"}
    margin = walk.get("padding", 0)
    margin = (margin, margin) if isinstance(margin, int) else margin
    framed = np.pad(
        x,
        ((0, 0), (0, 0), *((m, m) for m in margin)),
        constant_values=-np.inf,
    )
    columns = ops.unfold(
        framed,
        walk["kernel_size"],
        walk.get("dilation", 1),
        0,
        walk.get("stride") or walk["kernel_size"],
    )
    largest = columns.max(axis=1)
    pooled = ops.max_pool2d(x, **walk).reshape(5, -1)
    np.testing.assert_array_equal(pooled, largest)


@law
@given(tensors((2, 6, 4)), st.floats(0.1, 10), st.floats(-10, 10))
def test_max_pool2d_commutes_with_increasing_maps(x, scale, shift):
    """Brighten the picture, or pool first: the winner stays the winner."""
    np.testing.assert_array_equal(
        ops.max_pool2d(x * scale + shift, 2), ops.max_pool2d(x, 2) * scale + shift
    )


@law
@given(tensors((2, 6, 6)))
def test_max_pool2d_of_a_pool_is_one_larger_pool(x):
    """The largest of the largest is the largest."""
    np.testing.assert_array_equal(
        ops.max_pool2d(ops.max_pool2d(x, 2), 3), ops.max_pool2d(x, 6)
    )


@law
@cases(WALKS, DILATED)
def test_max_pool2d_never_lets_padding_win(walk):
    """In a picture of negative numbers every answer is a number of the picture."""
    x = -1.0 - np.abs(picture())
    assert np.isin(ops.max_pool2d(x, **walk), x).all()


@law
def test_max_pool2d_shows_a_nan():
    """A NaN in a window is not hidden by the larger numbers beside it."""
    x = np.array([[[np.nan, 5.0, 1.0, 2.0]]])
    np.testing.assert_array_equal(ops.max_pool2d(x, (1, 2)), [[[np.nan, 2.0]]])


@law
@cases(WALKS, DILATED)
def test_max_pool2d_indices_say_where_the_values_are(walk):
    """Read the plane, row by row, at the index: there the value stands."""
    x = picture()
    values, indices = ops.max_pool2d(x, **walk, return_indices=True)
    np.testing.assert_array_equal(values, ops.max_pool2d(x, **walk))
    planes = x.reshape(2, 3, 56, 1, 1)
    there = np.take_along_axis(planes, indices[:, :, None], axis=2)[:, :, 0]
    np.testing.assert_array_equal(there, values)


@law
@given(tensors((2, 5, 6)))
def test_max_pool2d_of_a_shifted_picture_differs(x):
    """Pooled features ignore a shift of a whole stride, and only of that."""
    framed = np.pad(x, ((0, 0), (4, 4), (4, 4)), constant_values=-20.0)
    moved = np.roll(framed, 2, axis=2)
    np.testing.assert_array_equal(
        np.roll(ops.max_pool2d(framed, 2), 1, axis=2), ops.max_pool2d(moved, 2)
    )


@law
@given(tensors((2, 5, 6)), tensors((2, 5, 6)))
def test_avg_pool2d_is_linear(x, other):
    """The mean of a sum is the sum of the means."""
    together = ops.avg_pool2d(x + 3.0 * other, 2, 1, 1)
    apart = ops.avg_pool2d(x, 2, 1, 1) + 3.0 * ops.avg_pool2d(other, 2, 1, 1)
    assert np.abs(together - apart).max() <= 1e-12 * 40


@law
@given(tensors((3, 6, 5)))
def test_avg_pool2d_is_a_convolution_with_equal_weights(x):
    """A blur by a box, channel by channel, in steps of the stride."""
    box = np.full((3, 1, 2, 3), 1 / 6)
    blurred = ops.conv2d(x, box, stride=2, padding=1, groups=3)
    assert np.abs(ops.avg_pool2d(x, (2, 3), 2, 1) - blurred).max() <= 1e-12 * 10


@law
@cases(WALKS, COUNTED)
def test_avg_pool2d_keeps_a_flat_picture_flat_where_only_pixels_count(walk):
    """Without the padding's zeros in the count, the mean of sevens is seven."""
    walk = {**walk, "count_include_pad": False, "divisor_override": None}
    out = ops.avg_pool2d(np.full((1, 7, 8), 7.0), **walk)
    assert_close(out, np.full_like(out, 7.0), 1e-12)


@law
@given(tensors((2, 6, 4)))
def test_adaptive_avg_pool2d_is_avg_pool2d_where_the_sizes_divide(x):
    """Six rows into three and four columns into two: windows of 2 x 2."""
    difference = ops.adaptive_avg_pool2d(x, (3, 2)) - ops.avg_pool2d(x, 2)
    assert np.abs(difference).max() <= 1e-13 * 10


@law
@given(tensors((2, 5, 4)))
def test_adaptive_avg_pool2d_to_its_own_size_changes_nothing(x):
    """Every window is one pixel; None keeps an axis in the same way."""
    np.testing.assert_array_equal(ops.adaptive_avg_pool2d(x, (5, 4)), x)
    np.testing.assert_array_equal(ops.adaptive_avg_pool2d(x, None), x)


@law
@given(tensors((2, 5, 4)))
def test_global_avg_pool2d_is_adaptive_pooling_to_one_pixel(x):
    """One window that covers everything."""
    pooled = ops.adaptive_avg_pool2d(x, 1)[..., 0, 0]
    assert np.abs(ops.global_avg_pool2d(x) - pooled).max() <= 1e-13 * 10


@law
@given(tensors((2, 4, 4)), st.integers(0, 3), st.integers(0, 3))
def test_global_avg_pool2d_does_not_care_where(x, down, right):
    """Roll the picture: every pixel still counts the same."""
    rolled = np.roll(x, (down, right), axis=(1, 2))
    difference = ops.global_avg_pool2d(rolled) - ops.global_avg_pool2d(x)
    assert np.abs(difference).max() <= 1e-13 * 10


@oracle
@cases(WALKS, DILATED)
def test_max_pool2d_equals_torch(compare, walk):
    """PyTorch's max_pool2d and its gradient."""
    compare(
        ops.max_pool2d,
        lambda torch: torch.nn.functional.max_pool2d,
        picture(1, 2, 7, 8),
        **walk,
    )


@oracle
def test_max_pool2d_breaks_ties_as_torch_does(compare):
    """Small whole numbers tie often, and the gradients still agree."""
    compare(
        ops.max_pool2d,
        lambda torch: torch.nn.functional.max_pool2d,
        np.round(picture(1, 2, 7, 8)),
        kernel_size=3,
        stride=2,
        padding=1,
    )


@oracle
@cases(WALKS, DILATED)
def test_max_pool2d_indices_equal_torch(compare, walk):
    """Of equals the first is named, of NaNs the last, and never the padding."""
    x = np.round(picture(1, 3, 7, 8))
    x[0, 1, ::3, ::2] = np.nan
    x[0, 2] = -np.inf

    def ask(torch):
        pool = torch.nn.functional.max_pool2d
        both = pool(torch.from_numpy(x), **walk, return_indices=True)
        return dict(zip(("values", "indices"), (part.numpy() for part in both)))

    answers = compare.answers(ask, ((x,), walk))
    values, indices = ops.max_pool2d(x, **walk, return_indices=True)
    assert_close(values, answers["values"])
    np.testing.assert_array_equal(indices, answers["indices"])


@oracle
@cases(WALKS, COUNTED)
def test_avg_pool2d_equals_torch(compare, walk):
    """PyTorch's avg_pool2d and its gradient, with every way to count."""
    compare(
        ops.avg_pool2d,
        lambda torch: torch.nn.functional.avg_pool2d,
        picture(1, 2, 7, 8),
        **walk,
    )


@oracle
@pytest.mark.parametrize("size", SIZES)
def test_adaptive_avg_pool2d_equals_torch(compare, size):
    """PyTorch's adaptive_avg_pool2d and its gradient, larger sizes too."""
    compare(
        ops.adaptive_avg_pool2d,
        lambda torch: torch.nn.functional.adaptive_avg_pool2d,
        picture(1, 2, 7, 8),
        output_size=size,
    )


@oracle
def test_global_avg_pool2d_equals_torch(compare):
    """PyTorch writes it as adaptive pooling to 1 x 1."""

    def reference(torch):
        return lambda x: torch.nn.functional.adaptive_avg_pool2d(x, 1)[..., 0, 0]

    compare(ops.global_avg_pool2d, reference, picture())


@derivative
@cases(WALKS, DILATED)
def test_max_pool2d_derivative(walk):
    """A little more on the winner is a little more: central differences agree."""
    check_vjp(ops.max_pool2d, picture(1, 2, 7, 8), **walk)


@derivative
def test_max_pool2d_sends_the_gradient_to_the_first_of_equals():
    """In a window of equal values the first in reading order gets everything."""
    flat = np.ones((1, 2, 4))
    (d_x, _) = pulled_back(ops.max_pool2d, np.array([[[3.0, 7.0]]]), flat, 2)
    np.testing.assert_array_equal(d_x, [[[3.0, 0.0, 7.0, 0.0], [0.0] * 4]])


@derivative
def test_max_pool2d_with_indices_has_the_gradient_of_the_values():
    """The indices stand beside, plain whole numbers."""
    x = Variable(np.array([[[1.0, 5.0, 2.0, 3.0]]]))
    values, indices = ops.max_pool2d(x, (1, 2), return_indices=True)
    gradients = backward(values, np.array([[[7.0, 9.0]]]))
    np.testing.assert_array_equal(gradients[x], [[[0.0, 7.0, 0.0, 9.0]]])
    np.testing.assert_array_equal(indices, [[[1, 3]]])


@derivative
@cases(WALKS, DILATED)
def test_max_pool2d_gradient_loses_nothing(walk):
    """What comes back adds up to what was sent: each window has one winner."""
    x = np.round(picture())  # rounded, so that there are ties
    out = ops.max_pool2d(x, **walk)
    d_out = random_arrays(52)(*out.shape)
    (d_x,) = pulled_back(ops.max_pool2d, d_out, x, **walk)
    assert_close(d_x.sum(axis=(-2, -1)), d_out.sum(axis=(-2, -1)), 1e-11)


@derivative
@cases(WALKS, COUNTED)
def test_avg_pool2d_derivative(walk):
    """Every pixel of a window has the same share."""
    check_vjp(ops.avg_pool2d, picture(1, 2, 7, 8), **walk)


@derivative
@pytest.mark.parametrize("size", [1, (3, 5)])
def test_adaptive_avg_pool2d_derivative(size):
    """A product with two matrices is undone by their transposes."""
    check_vjp(ops.adaptive_avg_pool2d, picture(2, 5, 7), size)


@derivative
def test_global_avg_pool2d_derivative():
    """Every pixel has the same share."""
    check_vjp(ops.global_avg_pool2d, picture(2, 3, 4, 5))


@contract
@pytest.mark.parametrize("pool", ["max_pool2d", "avg_pool2d"])
def test_pooling_refuses_padding_beyond_half_the_window(pool):
    """A window that lies wholly in the padding would see nothing at all."""
    with pytest.raises(ValueError, match="more than half of the window"):
        getattr(ops, pool)(np.zeros((1, 4, 4)), 2, padding=2)


@contract
@pytest.mark.parametrize("pool", ["max_pool2d", "avg_pool2d"])
def test_pooling_refuses_a_window_larger_than_the_picture(pool):
    """A window of 5 x 5 does not fit into 4 x 4."""
    with pytest.raises(ShapeError, match=r"window of \(5, 5\) does not fit"):
        getattr(ops, pool)(np.zeros((1, 4, 4)), 5)


@contract
@pytest.mark.parametrize("bad", [dict(stride=0), dict(padding=-1)])
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize("pool", ["max_pool2d", "avg_pool2d"])
def test_pooling_refuses_impossible_walks(pool, bad, ceil_mode):
    """A stride of zero would never arrive; negative padding is a crop."""
    with pytest.raises(ValueError, match=f"{pool}: .* must be at least"):
        getattr(ops, pool)(np.zeros((1, 4, 4)), 2, **bad, ceil_mode=ceil_mode)


@law
@pytest.mark.parametrize("pool", ["max_pool2d", "avg_pool2d"])
def test_pooling_in_steps_of_none_takes_those_of_the_window(pool):
    """() is None, as in PyTorch."""
    x = random_arrays(3)(1, 7, 8)
    function, options = getattr(ops, pool), {"kernel_size": (3, 2), "padding": 1}
    d_out = function(x, **options)
    assert_close(function(x, stride=(), **options), d_out)
    (d_x,) = pulled_back(function, d_out, x, stride=(), **options)
    assert_close(d_x, pulled_back(function, d_out, x, **options)[0])


@contract
def test_avg_pool2d_refuses_to_divide_by_zero():
    """A divisor of zero has no mean."""
    with pytest.raises(ValueError, match="divisor_override"):
        ops.avg_pool2d(np.zeros((1, 4, 4)), 2, divisor_override=0)


@contract
def test_adaptive_avg_pool2d_refuses_a_grid_of_another_number_of_axes():
    """A picture has rows and columns."""
    with pytest.raises(ValueError, match="adaptive_avg_pool2d: output_size must be"):
        ops.adaptive_avg_pool2d(np.zeros((1, 4, 4)), (2,))


@contract
@pytest.mark.parametrize("pool", ["adaptive_avg_pool2d", "global_avg_pool2d"])
def test_means_refuse_a_picture_without_pixels(pool):
    """Nothing has no mean."""
    options = {"output_size": 1} if pool.startswith("adaptive") else {}
    with pytest.raises(ShapeError, match=f"{pool}: .*pixels"):
        getattr(ops, pool)(np.zeros((1, 4, 0)), **options)


@contract
def test_adaptive_avg_pool2d_refuses_an_empty_grid():
    """No windows, no means."""
    with pytest.raises(ValueError, match="output_size must be at least 1"):
        ops.adaptive_avg_pool2d(np.zeros((1, 4, 4)), (2, 0))
