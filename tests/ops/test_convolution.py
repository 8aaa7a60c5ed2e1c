"""The spec of refvlm/ops/convolution.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
    pulled_back,
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
def test_convolve2d_multiplies_polynomials():
    """(1 + 2t)(3 + 4t) = 3 + 10t + 8t^2: convolution is how coefficients multiply."""
    product = ops.convolve2d(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]))
    np.testing.assert_array_equal(product, [[3.0, 10.0, 8.0]])


@example
def test_conv2d_does_not_flip_the_filter():
    """An impulse comes out as the filter turned round: this is cross-correlation."""
    impulse = np.zeros((1, 3, 3))
    impulse[0, 1, 1] = 1
    kernel = np.arange(9.0).reshape(1, 1, 3, 3)
    out = ops.conv2d(impulse, kernel, padding=1)
    np.testing.assert_array_equal(out[0], kernel[0, 0, ::-1, ::-1])


@example
def test_conv3d_sees_a_change_between_frames():
    """The filter [-1, 1] along time answers where the video changes."""
    frames = np.array([1.0, 1.0, 9.0]).reshape(1, 3, 1, 1)
    change = np.array([-1.0, 1.0]).reshape(1, 1, 2, 1, 1)
    np.testing.assert_array_equal(ops.conv3d(frames, change).ravel(), [0.0, 8.0])


PICTURES = {
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
    "pointwise, stride": dict(x=(2, 5, 5, 4), weight=(3, 5, 1, 1), stride=2),
    "depthwise, dilation": dict(
        x=(1, 4, 9, 8), weight=(4, 1, 3, 3), groups=4, dilation=(2, 1), padding=(5, 2)
    ),
    "same, even kernel": dict(x=(2, 3, 5, 6), weight=(4, 3, 4, 2), padding="same"),
}

VOLUMES = {
    "plain": dict(x=(1, 2, 4, 3, 4), weight=(2, 2, 2, 3, 2)),
    "unbatched": dict(x=(2, 3, 4, 3), weight=(3, 2, 2, 2, 3), stride=(1, 2, 1)),
    "stride and padding": dict(
        x=(1, 2, 4, 5, 3), weight=(2, 2, 3, 2, 2), stride=(2, 1, 2), padding=(1, 0, 1)
    ),
    "dilation and groups": dict(
        x=(1, 4, 5, 4, 3), weight=(2, 2, 2, 2, 2), dilation=(3, 2, 1), groups=2
    ),
    "depthwise": dict(x=(2, 3, 3, 3, 3), weight=(3, 1, 2, 3, 2), groups=3, padding=1),
}
EMPTY = {
    "no pictures": dict(x=(0, 3, 6, 5), weight=(4, 3, 3, 2)),
    "no pictures, depthwise": dict(x=(0, 4, 6, 5), weight=(8, 1, 3, 3), groups=4),
}
FLAT = {
    "full": ((2, 5, 4), (3, 2)),
    "same": ((5, 4), (2, 3)),
    "valid": ((5, 4), (3, 2)),
}


def calls_of(cases, seed):
    """The cases as calls: x, a weight, a bias for each channel, and the options."""
    for options in cases.values():
        draw, options = random_arrays(seed), dict(options)
        x, weight = draw(*options.pop("x")), draw(*options.pop("weight"))
        yield call(x, weight, draw(len(weight)), **options)


draw = random_arrays(13)
CALLS = {
    "conv2d": [
        *calls_of(PICTURES, 11),
        *calls_of(EMPTY, 11),
        call(np.zeros((2, 3, 0, 5)), draw(4, 3, 3, 3), padding=2),
    ],
    "conv3d": [
        *calls_of(VOLUMES, 31),
        call(np.zeros((0, 2, 4, 3, 4)), draw(3, 2, 2, 3, 2), draw(3)),
    ],
    "convolve2d": [
        call(draw(*image), draw(*kernel), mode)
        for mode, (image, kernel) in FLAT.items()
    ],
}


@pytest.fixture(params=calls_of(PICTURES, 11), ids=PICTURES)
def convolution(request):
    """(x, weight, bias) and the options of one case."""
    return request.param


@pytest.fixture(params=calls_of(EMPTY, 11), ids=EMPTY)
def empty(request):
    """The same, where there is nothing to see."""
    return request.param


@pytest.fixture(params=calls_of(VOLUMES, 31), ids=VOLUMES)
def volume(request):
    """(x, weight, bias) and the options of one case."""
    return request.param


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
@given(tensors((3, 4, 5)), tensors((2, 3, 1, 1)))
def test_conv2d_with_one_pixel_is_a_matrix_product(x, weight):
    """A 1 x 1 filter mixes the channels of each pixel: W x, pixel by pixel."""
    mixed = np.einsum("oc,chw->ohw", weight[:, :, 0, 0], x)
    assert np.abs(ops.conv2d(x, weight) - mixed).max() <= 1e-10


@law
@pytest.mark.parametrize("stride", [1, 2])
def test_conv2d_depthwise_is_dense_with_zeros_between_channels(stride):
    """A filter for each channel is a full weight whose other channels are zero."""
    draw = random_arrays(12)
    x, weight = draw(2, 4, 7, 6), draw(4, 1, 3, 3)
    full = np.zeros((4, 4, 3, 3))
    full[range(4), range(4)] = weight[:, 0]
    assert_close(
        ops.conv2d(x, weight, stride=stride, padding=1, groups=4),
        ops.conv2d(x, full, stride=stride, padding=1),
    )


@law
def test_conv2d_treats_every_picture_of_a_batch_alone(convolution):
    """What comes out for one picture does not depend on its neighbours."""
    (x, weight, bias), options = convolution
    x = x if x.ndim == 4 else x[None]
    alone = [ops.conv2d(picture, weight, bias, **options) for picture in x]
    assert_close(ops.conv2d(x, weight, bias, **options), np.stack(alone))


@law
def test_conv2d_of_a_large_picture_is_put_together_from_rows(monkeypatch):
    """Taken a few rows at a time, the picture comes out the same."""
    draw = random_arrays(16)
    x, weight, bias = draw(2, 4, 9, 8), draw(6, 2, 3, 3), draw(6)
    whole = ops.conv2d(x, weight, bias, padding=1, stride=(2, 1), groups=2)
    monkeypatch.setattr("refvlm.kernels.rowwise.PIECE", 1)
    rows = ops.conv2d(x, weight, bias, padding=1, stride=(2, 1), groups=2)
    assert_close(rows, whole, 1e-12)


@law
@given(tensors((5, 4)), tensors((3, 2)))
def test_convolve2d_is_cross_correlation_with_the_filter_flipped(image, kernel):
    """Turn the filter half round, and what networks call convolution is convolution."""
    turned = kernel[None, None, ::-1, ::-1]
    networks = ops.conv2d(image[None], turned, padding=(2, 1))[0]
    assert_close(ops.convolve2d(image, kernel), networks, 1e-12)


@law
@given(tensors((4, 3)), tensors((2, 5)))
def test_convolve2d_commutes_and_conv2d_does_not(image, kernel):
    """f * g = g * f; cross-correlations swapped are each other turned half round."""
    forth, back = ops.convolve2d(image, kernel), ops.convolve2d(kernel, image)
    assert np.abs(forth - back).max() <= 1e-10
    forth = ops.conv2d(image[None], kernel[None, None], padding=(1, 4))
    back = ops.conv2d(kernel[None], image[None, None], padding=(3, 2))
    assert np.abs(forth - back[:, ::-1, ::-1]).max() <= 1e-10


@law
@given(tensors((4, 4)), tensors((2, 3)), tensors((3, 2)))
def test_convolve2d_associates(image, first, second):
    """Two filters one after the other are one filter: their convolution."""
    one_by_one = ops.convolve2d(ops.convolve2d(image, first), second)
    at_once = ops.convolve2d(image, ops.convolve2d(first, second))
    assert np.abs(one_by_one - at_once).max() <= 1e-8


@law
@given(tensors((5, 6)), tensors((3, 4)))
def test_convolve2d_is_a_product_of_spectra(image, kernel):
    """The Fourier transform turns convolution into multiplication."""
    spectra = np.fft.rfft2(image, (7, 9)) * np.fft.rfft2(kernel, (7, 9))
    expected = np.fft.irfft2(spectra, (7, 9))
    assert np.abs(ops.convolve2d(image, kernel) - expected).max() <= 1e-9


@law
@given(tensors((5, 6)), st.integers(1, 4), st.integers(1, 4))
def test_convolve2d_modes_are_crops_of_the_full_one(image, height, width):
    """ "same" is the middle of "full"; "valid" is where nothing hangs over."""
    kernel = random_arrays(5)(height, width)
    full = ops.convolve2d(image, kernel)
    top, left = (height - 1) // 2, (width - 1) // 2
    same, valid = (ops.convolve2d(image, kernel, mode) for mode in ("same", "valid"))
    assert_close(same, full[top : top + 5, left : left + 6], 1e-12)
    assert_close(valid, full[height - 1 : 5, width - 1 : 6], 1e-12)


@law
@given(tensors((2, 4, 3, 5)), tensors((3, 2, 1, 2, 2)))
def test_conv3d_of_depth_one_is_conv2d_of_every_frame(x, weight):
    """With nothing to mix over time, a video is a row of pictures."""
    frames = [ops.conv2d(x[:, t], weight[:, :, 0]) for t in range(4)]
    assert np.abs(ops.conv3d(x, weight) - np.stack(frames, axis=1)).max() <= 1e-10


@law
def test_conv3d_is_the_sum_over_its_frames_of_conv2d():
    """A depth of two is two conv2d, of this frame and of the next, added."""
    draw = random_arrays(32)
    x, weight = draw(2, 4, 5, 5), draw(3, 2, 2, 3, 3)
    here, there = (ops.conv3d(x, weight[:, :, r : r + 1]) for r in range(2))
    assert_close(ops.conv3d(x, weight), here[:, :-1] + there[:, 1:])


@oracle
def test_conv2d_equals_torch(compare, convolution):
    """PyTorch's conv2d and its gradients, over strides, dilations and groups."""
    arrays, options = convolution
    compare(ops.conv2d, lambda torch: torch.nn.functional.conv2d, *arrays, **options)


@oracle
def test_conv2d_of_nothing_equals_torch(compare, empty):
    """A batch may be empty: the shapes and gradients are PyTorch's."""
    arrays, options = empty
    compare(ops.conv2d, lambda torch: torch.nn.functional.conv2d, *arrays, **options)


@oracle
@pytest.mark.parametrize("mode, margin", [("full", (2, 1)), ("valid", 0)])
def test_convolve2d_equals_torch_with_the_filter_flipped(compare, mode, margin):
    """PyTorch has cross-correlation only: flip for it."""
    draw = random_arrays(14)

    def reference(torch):
        return lambda image, kernel, _: torch.nn.functional.conv2d(
            image[:, None], kernel.flip(0, 1)[None, None], padding=margin
        )[:, 0]

    compare(ops.convolve2d, reference, draw(2, 5, 4), draw(3, 2), mode)


@oracle
def test_conv3d_equals_torch(compare, volume):
    """PyTorch's conv3d and its gradients."""
    arrays, options = volume
    compare(ops.conv3d, lambda torch: torch.nn.functional.conv3d, *arrays, **options)


@derivative
def test_conv2d_derivative(convolution):
    """Read backwards through the same window: the vjp equals central differences."""
    arrays, options = convolution
    check_vjp(ops.conv2d, *arrays, **options)


@derivative
def test_conv2d_derivative_does_only_what_is_needed(convolution):
    """A frozen weight or picture costs nothing on the way back, and changes nothing."""
    arrays, options = convolution
    out = ops.conv2d(*arrays, **options)
    every = pulled_back(ops.conv2d, out, *arrays, **options)
    for position in range(3):
        only = pulled_back(ops.conv2d, out, *arrays, wanted=[position], **options)
        assert [i for i, d in enumerate(only) if d is not None] == [position]
        assert_close(only[position], every[position])


@derivative
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
def test_convolve2d_derivative(mode):
    """It is made of conv2d, and so is its derivative."""
    draw = random_arrays(15)
    check_vjp(ops.convolve2d, draw(2, 4, 5), draw(2, 3), mode)


@derivative
def test_conv3d_derivative(volume):
    """Read backwards through the same window: the vjp equals central differences."""
    arrays, options = volume
    check_vjp(ops.conv3d, *arrays, **options)


@derivative
def test_conv3d_derivative_does_only_what_is_needed(volume):
    """A gradient that is not wanted is not computed."""
    arrays, options = volume
    out = ops.conv3d(*arrays, **options)
    every = pulled_back(ops.conv3d, out, *arrays, **options)
    for position in range(3):
        only = pulled_back(ops.conv3d, out, *arrays, wanted=[position], **options)
        assert [i for i, d in enumerate(only) if d is not None] == [position]
        assert_close(only[position], every[position])


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
    with pytest.raises(ValueError, match="conv2d: .* must be at least"):
        ops.conv2d(np.zeros((1, 4, 4)), np.zeros((1, 1, 1, 1)), **bad)


@contract
def test_convolve2d_refuses_an_unknown_mode():
    """The three modes are named."""
    with pytest.raises(ValueError, match='"full", "same" or "valid", not \'middle\''):
        ops.convolve2d(np.zeros((3, 3)), np.zeros((2, 2)), "middle")


@contract
def test_conv3d_refuses_channels_that_do_not_fit():
    """The message says how many channels the weight reads and how many there are."""
    with pytest.raises(ShapeError, match="conv3d: .* reads 2 channels .* has 3"):
        ops.conv3d(np.zeros((3, 5, 5, 5)), np.zeros((4, 2, 3, 3, 3)))


@contract
def test_conv3d_refuses_a_window_longer_than_the_video():
    """Four frames cannot be looked at three at a time, two apart."""
    with pytest.raises(ShapeError, match=r"window of \(5, 1, 1\) .* \(4, 2, 2\)"):
        ops.conv3d(
            np.zeros((1, 4, 2, 2)), np.zeros((1, 1, 3, 1, 1)), dilation=(2, 1, 1)
        )
