"""The spec of refvlm/ops/volumes.py."""

import numpy as np
import pytest
from hypothesis import given

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
    pulled_back,
    random_arrays,
    tensors,
)


@example
def test_conv3d_sees_a_change_between_frames():
    """The filter [-1, 1] along time answers where the video changes."""
    frames = np.array([1.0, 1.0, 9.0]).reshape(1, 3, 1, 1)
    change = np.array([-1.0, 1.0]).reshape(1, 1, 2, 1, 1)
    np.testing.assert_array_equal(ops.conv3d(frames, change).ravel(), [0.0, 8.0])


CASES = {
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


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request):
    """(x, weight, bias) and the options of one case."""
    options = dict(request.param)
    draw = random_arrays(31)
    x, weight = draw(*options.pop("x")), draw(*options.pop("weight"))
    return (x, weight, draw(len(weight))), options


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


@law
def test_conv3d_keeps_the_dtype(case):
    """float16 in, float16 out; and nothing that came in was written to."""
    arrays, options = case
    check_dtype(ops.conv3d, *arrays, **options)


@oracle
def test_conv3d_equals_torch(compare, case):
    """PyTorch's conv3d and its gradients."""
    arrays, options = case
    compare(ops.conv3d, lambda torch: torch.nn.functional.conv3d, *arrays, **options)


@derivative
def test_conv3d_derivative(case):
    """Read backwards through the same window: the vjp equals central differences."""
    arrays, options = case
    check_vjp(ops.conv3d, *arrays, **options)


@derivative
def test_conv3d_derivative_does_only_what_is_needed(case):
    """A gradient that is not wanted is not computed."""
    arrays, options = case
    out = ops.conv3d(*arrays, **options)
    every = pulled_back(ops.conv3d, out, *arrays, **options)
    for position in range(3):
        only = pulled_back(ops.conv3d, out, *arrays, wanted=[position], **options)
        assert [i for i, d in enumerate(only) if d is not None] == [position]
        assert_close(only[position], every[position])


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
