"""The spec of refvlm/ops/patch_tokens.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import value_and_grad
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
)
from .counterparts import COUNTERPARTS

PICTURE = np.arange(16.0).reshape(2, 2, 4)  # two channels of 2 x 4: two patches


@example
def test_patchify_writes_a_patch_channel_by_channel():
    """Rows of the first channel, then those of the second."""
    np.testing.assert_array_equal(
        ops.patchify(PICTURE, 2),
        [[0, 1, 4, 5, 8, 9, 12, 13], [2, 3, 6, 7, 10, 11, 14, 15]],
    )


@example
def test_patchify_writes_the_channels_of_a_pixel_together():
    """The other order: both channels of a pixel, then those of the next."""
    np.testing.assert_array_equal(
        ops.patchify(PICTURE, 2, order="hwc"),
        [[0, 8, 1, 9, 4, 12, 5, 13], [2, 10, 3, 11, 6, 14, 7, 15]],
    )


@example
def test_unpatchify_lays_patches_back():
    """What is left over at the edge belongs to no patch, and is zero."""
    picture = ops.unpatchify(np.array([[1.0, 2.0, 3.0, 4.0]]), (2, 3), 2)
    np.testing.assert_array_equal(picture, [[[1, 2, 0], [3, 4, 0]]])


@example
def test_patch_embedding_of_two_patches():
    """One filter that adds up a patch, and one that takes its first pixel."""
    weight = np.array([[[[1.0, 1.0], [1.0, 1.0]]], [[[1.0, 0.0], [0.0, 0.0]]]])
    out = ops.patch_embedding(PICTURE[:1], weight, np.array([0.5, 0.0]))
    np.testing.assert_array_equal(out, [[10.5, 0.0], [18.5, 2.0]])


@example
def test_flatten_maps_reads_row_by_row():
    """Four places of two channels each."""
    maps = np.array([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    np.testing.assert_array_equal(
        ops.flatten_maps(maps), [[1, 5], [2, 6], [3, 7], [4, 8]]
    )


@example
def test_prepend_tokens_begins_every_row_alike():
    """Two pictures of one patch each, behind the same class token."""
    out = ops.prepend_tokens(np.array([[[3.0]], [[4.0]]]), np.array([[1.0]]))
    np.testing.assert_array_equal(out, [[[1], [3]], [[1], [4]]])


draw = random_arrays(60)
CASES = {
    "plain": (draw(2, 3, 4, 6), dict(patch_size=2)),
    "channels last": (draw(2, 3, 4, 6), dict(patch_size=2, order="hwc")),
    "one patch, left over": (draw(2, 3, 2), dict(patch_size=2)),
    "oblong, left over": (draw(1, 2, 7, 8), dict(patch_size=(3, 2))),
    "oblong, channels last": (draw(2, 8, 8), dict(patch_size=(2, 3), order="hwc")),
}
CALLS = {
    "patchify": [call(x, **options) for x, options in CASES.values()],
    "unpatchify": [
        call(draw(*ops.patchify(x, **options).shape), x.shape[-2:], **options)
        for x, options in CASES.values()
    ],
    "patch_embedding": [
        call(draw(2, 3, 5, 4), draw(6, 3, 2, 2), draw(6)),
        call(draw(2, 4, 6), draw(5, 2, 2, 3)),
        call(draw(2, 2, 3), draw(3, 2, 2, 1), draw(3)),
    ],
    "flatten_maps": [call(draw(2, 3, 4, 5)), call(draw(3, 1, 2))],
    "prepend_tokens": [
        call(draw(2, 4, 3), draw(2, 3)),
        call(draw(4, 3), draw(1, 3)),
    ],
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def cut(request):
    """A picture and one way to cut it."""
    return request.param


@law
def test_patchify_is_unfold_of_windows_that_touch(cut):
    """The columns of `unfold`, as rows, but for the order within a patch."""
    x, options = cut
    size = options["patch_size"]
    columns = ops.unfold(x, size, stride=size)
    np.testing.assert_array_equal(ops.patchify(x, size), columns.swapaxes(-1, -2))


@law
@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 4))
def test_patchify_orders_hide_one_permutation(channels, high, wide):
    """Whatever the picture, place k of one order is place pi(k) of the other."""
    x = random_arrays(61)(2, channels, 2 * high, 3 * wide)
    places = np.arange(channels * high * wide).reshape(channels, high, wide)
    permutation = places.transpose(1, 2, 0).reshape(-1)
    by_channel = ops.patchify(x, (high, wide))
    np.testing.assert_array_equal(
        ops.patchify(x, (high, wide), order="hwc"), by_channel[..., permutation]
    )


@law
@given(st.sampled_from(["chw", "hwc"]), st.integers(1, 3), st.integers(1, 3))
def test_unpatchify_undoes_patchify(order, high, wide):
    """Every pixel lies in one patch, so nothing is lost where nothing is left over."""
    x = random_arrays(62)(2, 3, 2 * high, 3 * wide)
    rows = ops.patchify(x, (high, wide), order)
    back = ops.unpatchify(rows, x.shape[-2:], (high, wide), order)
    np.testing.assert_array_equal(back, x)


@law
def test_unpatchify_is_the_adjoint_of_patchify(cut):
    """<patchify(x), p> = <x, unpatchify(p)>, left-over pixels included."""
    x, options = cut
    rows = ops.patchify(x, **options)
    other = random_arrays(63)(*rows.shape)
    back = ops.unpatchify(other, x.shape[-2:], **options)
    assert_close((rows * other).sum(), (x * back).sum(), 1e-12)


@law
@pytest.mark.parametrize("size", [(6, 8), (7, 9)])
def test_patch_embedding_is_a_strided_convolution(size):
    """A convolution whose stride is its width, laid out as tokens: the two ways in
    which the sources write a patch embedding, whether or not pixels are left over."""
    draw = random_arrays(64)
    x, weight, bias = draw(2, 3, *size), draw(5, 3, 2, 4), draw(5)
    maps = ops.conv2d(x, weight, bias, stride=(2, 4))
    tokens = ops.flatten_maps(maps)
    assert_close(ops.patch_embedding(x, weight, bias), tokens, 1e-13)


@law
def test_patch_embedding_is_a_linear_map_of_either_order():
    """The matrix is permuted as the patches are; with the wrong one nothing fits."""
    draw = random_arrays(65)
    x, weight = draw(1, 3, 4, 4), draw(5, 3, 2, 2)
    expected = ops.patch_embedding(x, weight)
    last = weight.transpose(0, 2, 3, 1).reshape(5, -1)
    patches = ops.patchify(x, 2, order="hwc")
    assert_close(ops.linear(patches, last), expected, 1e-13)
    wrong = ops.linear(patches, weight.reshape(5, -1))
    assert np.abs(wrong - expected).max() > 0.5


@law
def test_flatten_maps_is_patches_of_one_pixel():
    """The same rows, a channel a number."""
    maps = random_arrays(66)(2, 3, 4, 5)
    np.testing.assert_array_equal(ops.flatten_maps(maps), ops.patchify(maps, 1))


@law
def test_prepend_tokens_keeps_what_follows():
    """A class token moves the patches back by one place and changes none."""
    draw = random_arrays(67)
    tokens, prefix = draw(2, 3, 4), draw(2, 4)
    out = ops.prepend_tokens(tokens, prefix)
    np.testing.assert_array_equal(out[:, 2:], tokens)
    np.testing.assert_array_equal(out[1, :2], prefix)


@oracle
@pytest.mark.parametrize("name", CALLS)
def test_patch_tokens_equal_torch(compare, name):
    """Values and gradients: unfold, fold, a strided convolution, flatten, cat."""
    for args, options in CALLS[name]:
        compare(getattr(ops, name), COUNTERPARTS[name], *args, **options)


@derivative
def test_patchify_derivative(cut):
    """Left-over pixels get nothing."""
    x, options = cut
    check_vjp(ops.patchify, x, **options)


@derivative
def test_unpatchify_derivative(cut):
    """The picture's gradient, cut."""
    x, options = cut
    rows = ops.patchify(x, **options)
    check_vjp(ops.unpatchify, rows, x.shape[-2:], **options)


@derivative
def test_patch_embedding_derivative_reaches_picture_filters_and_bias():
    """Composed of operators: the tape finds its way to each."""
    draw = random_arrays(68)
    check_vjp(ops.patch_embedding, draw(1, 2, 5, 4), draw(3, 2, 2, 2), draw(3))


@derivative
def test_prepend_tokens_derivative_of_the_prefix_is_summed_over_pictures():
    """One class token for all pictures learns from all of them."""

    def loss(prefix):
        return ops.prepend_tokens(np.ones((4, 2, 3)), prefix).sum()

    _, gradient = value_and_grad(loss)(np.zeros((1, 3)))
    np.testing.assert_array_equal(gradient, np.full((1, 3), 4.0))


@contract
def test_patchify_refuses_patches_larger_than_the_picture():
    """The message has both sizes."""
    with pytest.raises(ShapeError, match=r"patchify: a patch of 3 x 3 does not fit"):
        ops.patchify(PICTURE, 3)
    with pytest.raises(ShapeError, match=r"patch_embedding: a patch of 4 x 2 does not"):
        ops.patch_embedding(PICTURE, np.ones((1, 2, 4, 2)))


@contract
@pytest.mark.parametrize("size", [0, -2, 1.5, (2, 2, 2), "2"])
def test_patchify_refuses_what_is_no_size(size):
    """Whole numbers from one on."""
    with pytest.raises(ValueError, match="patchify: patch_size must be"):
        ops.patchify(PICTURE, size)


@contract
def test_patchify_refuses_an_order_that_is_not_there():
    """There are two, and neither is guessed."""
    with pytest.raises(ValueError, match="patchify: order is .* not 'cwh'"):
        ops.patchify(PICTURE, 2, order="cwh")
    with pytest.raises(ValueError, match="unpatchify: order is .* not None"):
        ops.unpatchify(np.ones((2, 8)), (2, 4), 2, order=None)


@contract
@pytest.mark.parametrize("shape", [(3, 8), (2, 7)])
def test_unpatchify_refuses_rows_that_do_not_fill_the_picture(shape):
    """Two patches of a multiple of four numbers."""
    with pytest.raises(ShapeError, match="has 2 rows, of a multiple of 4 numbers"):
        ops.unpatchify(np.ones(shape), (2, 4), 2)


@contract
def test_patch_embedding_refuses_filters_of_other_channels():
    """A picture of two channels under a filter of three."""
    with pytest.raises(ShapeError, match="patch_embedding"):
        ops.patch_embedding(PICTURE, np.ones((1, 3, 2, 2)))


@contract
def test_prepend_tokens_refuses_another_width():
    """A class token is as wide as the patches' tokens."""
    with pytest.raises(ShapeError, match="prepend_tokens"):
        ops.prepend_tokens(np.ones((2, 3)), np.ones((1, 4)))
