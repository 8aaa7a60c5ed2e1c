"""The spec of refvlm/ops/patches.py."""

import numpy as np
import pytest
from hypothesis import given

from refvlm import ops
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
    random_arrays,
    tensors,
)


@example
def test_unfold_writes_windows_as_columns():
    """The 2 x 2 windows of a 2 x 3 picture: two columns of four."""
    picture = np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    np.testing.assert_array_equal(
        ops.unfold(picture, 2), np.array([[1.0, 2.0, 4.0, 5.0], [2.0, 3.0, 5.0, 6.0]]).T
    )


@example
def test_fold_adds_what_overlaps():
    """Folded back, the two columns meet in the middle and add up there."""
    columns = np.array([[1.0, 2.0, 4.0, 5.0], [2.0, 3.0, 5.0, 6.0]]).T
    np.testing.assert_array_equal(
        ops.fold(columns, (2, 3), 2), [[[1.0, 4.0, 3.0], [4.0, 10.0, 6.0]]]
    )


CASES = {
    "plain": dict(x=(2, 3, 4, 5), kernel_size=(2, 3)),
    "unbatched": dict(x=(2, 5, 4), kernel_size=2, stride=2),
    "one pixel": dict(x=(1, 2, 3, 2), kernel_size=1),
    "patches": dict(x=(2, 3, 6, 4), kernel_size=2, stride=2),
    "everything": dict(
        x=(1, 2, 6, 7), kernel_size=(2, 3), dilation=(3, 2), padding=(1, 2), stride=2
    ),
}
EMPTY = {"no pictures": dict(x=(0, 2, 3, 4), kernel_size=2)}


def calls_of(cases):
    """The cases as calls of `unfold`, and of the `fold` that undoes it."""
    draw = random_arrays(40)
    for options in cases.values():
        options = dict(options)
        x = draw(*options.pop("x"))
        columns = draw(*ops.unfold(x, **options).shape)
        yield call(x, **options), call(columns, x.shape[-2:], **options)


CALLS = {
    "unfold": [there for there, _ in calls_of({**CASES, **EMPTY})],
    "fold": [back for _, back in calls_of({**CASES, **EMPTY})],
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def look(request):
    """A picture and the options of one way to look at it."""
    options = dict(request.param)
    return random_arrays(41)(*options.pop("x")), options


@law
def test_fold_is_the_adjoint_of_unfold(look):
    """<unfold(x), y> = <x, fold(y)>: what is read here is added back here."""
    x, options = look
    columns = ops.unfold(x, **options)
    other = random_arrays(42)(*columns.shape)
    folded = ops.fold(other, x.shape[-2:], **options)
    assert_close((columns * other).sum(), (x * folded).sum(), 1e-11)


@law
def test_fold_of_unfold_counts_the_windows(look):
    """Each pixel comes back as many times as windows see it."""
    x, options = look
    counts = ops.fold(ops.unfold(np.ones_like(x), **options), x.shape[-2:], **options)
    back = ops.fold(ops.unfold(x, **options), x.shape[-2:], **options)
    np.testing.assert_array_equal(counts, np.round(counts))
    assert_close(back, x * counts, 1e-12)


@law
@given(tensors((3, 6, 4)))
def test_fold_undoes_unfold_into_patches(x):
    """Where windows do not overlap, nothing is counted twice."""
    patches = ops.unfold(x, (3, 2), stride=(3, 2))
    np.testing.assert_array_equal(ops.fold(patches, (6, 4), (3, 2), stride=(3, 2)), x)


@law
def test_unfold_makes_conv2d_a_matrix_product(look):
    """A convolution is its flattened filters times the columns."""
    x, options = look
    walk = {key: options[key] for key in options if key != "kernel_size"}
    height, width = np.broadcast_to(options["kernel_size"], 2)
    weight = random_arrays(43)(4, x.shape[-3], height, width)
    expected = ops.conv2d(x, weight, **walk)
    product = weight.reshape(4, -1) @ ops.unfold(x, **options)
    assert_close(product.reshape(expected.shape), expected, 1e-12)


@law
def test_unfold_gives_an_array_of_its_own(look):
    """Writing into the columns leaves the picture alone."""
    x, options = look
    before = x.copy()
    ops.unfold(x, **options)[:] = 0
    np.testing.assert_array_equal(x, before)


@oracle
def test_unfold_equals_torch(compare, look):
    """PyTorch's unfold and its gradient."""
    x, options = look
    compare(ops.unfold, lambda torch: torch.nn.functional.unfold, x, **options)


@oracle
def test_fold_equals_torch(compare, look):
    """PyTorch's fold and its gradient."""
    x, options = look
    columns = random_arrays(44)(*ops.unfold(x, **options).shape)
    compare(
        ops.fold,
        lambda torch: torch.nn.functional.fold,
        columns,
        x.shape[-2:],
        **options,
    )


@derivative
def test_unfold_derivative(look):
    """The derivative of reading is adding back."""
    x, options = look
    check_vjp(ops.unfold, x, **options)


@derivative
def test_fold_derivative(look):
    """The derivative of adding back is reading."""
    x, options = look
    columns = ops.unfold(x, **options)
    check_vjp(ops.fold, columns, x.shape[-2:], **options)


@contract
def test_fold_refuses_columns_that_do_not_fill_the_picture():
    """The message says how many rows and places the windows have."""
    with pytest.raises(ShapeError, match="multiple of 4 rows and 9 places"):
        ops.fold(np.zeros((4, 8)), (4, 4), 2)


@contract
def test_fold_refuses_rows_that_are_no_whole_windows():
    """Five rows are no number of 2 x 2 windows."""
    with pytest.raises(ShapeError, match="multiple of 4 rows and 9 places"):
        ops.fold(np.zeros((5, 9)), (4, 4), 2)


@contract
def test_unfold_refuses_a_picture_without_channels():
    """It needs (channels, height, width)."""
    with pytest.raises(ShapeError, match="at least 3 axes"):
        ops.unfold(np.zeros((4, 4)), 2)


@contract
def test_unfold_refuses_a_window_larger_than_the_picture():
    """A window of 5 does not fit into 4."""
    with pytest.raises(ShapeError, match=r"window of \(5, 5\) does not fit"):
        ops.unfold(np.zeros((1, 4, 4)), 5)
