"""The spec of refvlm/ops/transposed.py."""

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
    pulled_back,
    random_arrays,
    tensors,
)


@example
def test_conv_transpose2d_spreads_a_number_over_a_window():
    """Each pixel leaves the filter, scaled; with a stride of 2 the copies abut."""
    spread = ops.conv_transpose2d(
        np.array([[[1.0, 2.0]]]), np.array([[[[1.0, 10.0]]]]), stride=2
    )
    np.testing.assert_array_equal(spread, [[[1.0, 10.0, 2.0, 20.0]]])


@example
def test_conv_transpose2d_adds_where_copies_overlap():
    """With a stride of 1 neighbouring copies overlap, and overlaps add."""
    spread = ops.conv_transpose2d(np.array([[[1.0, 2.0]]]), np.array([[[[1.0, 10.0]]]]))
    np.testing.assert_array_equal(spread, [[[1.0, 12.0, 20.0]]])


CASES = {
    "plain": dict(x=(2, 3, 4, 5), weight=(3, 2, 3, 2)),
    "unbatched": dict(x=(3, 4, 5), weight=(3, 2, 2, 2), stride=2),
    "stride and padding": dict(
        x=(2, 2, 3, 4), weight=(2, 3, 3, 4), stride=(2, 3), padding=(1, 2)
    ),
    "output padding": dict(
        x=(1, 2, 3, 3), weight=(2, 2, 3, 3), stride=2, padding=1, output_padding=(1, 0)
    ),
    "groups": dict(x=(1, 4, 3, 4), weight=(4, 3, 2, 3), groups=2, stride=2),
    "depthwise": dict(x=(1, 3, 4, 3), weight=(3, 1, 3, 3), groups=3, padding=1),
    "dilation": dict(
        x=(1, 2, 4, 3), weight=(2, 2, 2, 3), dilation=(3, 2), output_padding=1
    ),
}
EMPTY = {"no pictures": dict(x=(0, 3, 4, 5), weight=(3, 2, 3, 2), stride=2)}


def calls_of(cases):
    """The cases as calls: x, a weight, a bias for each channel, and the options."""
    for options in cases.values():
        draw, options = random_arrays(21), dict(options)
        x, weight = draw(*options.pop("x")), draw(*options.pop("weight"))
        bias = draw(weight.shape[1] * options.get("groups", 1))
        yield call(x, weight, bias, **options)


CALLS = {"conv_transpose2d": list(calls_of({**CASES, **EMPTY}))}


@pytest.fixture(params=calls_of(CASES), ids=CASES)
def case(request):
    """(x, weight, bias) and the options of one case."""
    return request.param


@law
def test_conv_transpose2d_is_the_adjoint_of_conv2d(case):
    """<conv(z), x> = <z, transposed(x)>: the same weight, walked the other way."""
    (x, weight, _), options = case
    options = dict(options)
    spread = ops.conv_transpose2d(x, weight, **options)
    options.pop("output_padding", None)
    z = random_arrays(22)(*spread.shape)
    gathered = ops.conv2d(z, weight, **options)[..., : x.shape[-2], : x.shape[-1]]
    assert_close((gathered * x).sum(), (z * spread).sum(), 1e-11)


@law
@given(tensors((2, 3, 4)))
def test_conv_transpose2d_with_its_stride_repeats_pixels(x):
    """A 2 x 2 filter of ones in steps of 2 makes every pixel four."""
    ones = np.zeros((2, 2, 2, 2))
    ones[range(2), range(2)] = 1
    larger = ops.conv_transpose2d(x, ones, stride=2)
    np.testing.assert_array_equal(larger, x.repeat(2, axis=1).repeat(2, axis=2))


@law
@pytest.mark.parametrize("extra", [0, 1, 2])
def test_conv_transpose2d_restores_every_size_that_a_stride_merges(extra):
    """Sizes 7, 8 and 9 all shrink to 3 in steps of 3; output_padding says which."""
    x, weight = np.ones((1, 7 + extra, 5)), np.ones((1, 1, 3, 3))
    small = ops.conv2d(x, weight, stride=(3, 1), padding=1)
    large = ops.conv_transpose2d(
        small, weight, stride=(3, 1), padding=1, output_padding=(extra, 0)
    )
    assert small.shape == (1, 3, 5)
    assert large.shape == x.shape


@oracle
def test_conv_transpose2d_equals_torch(compare, case):
    """PyTorch's conv_transpose2d and its gradients."""
    arrays, options = case
    compare(
        ops.conv_transpose2d,
        lambda torch: torch.nn.functional.conv_transpose2d,
        *arrays,
        **options,
    )


@derivative
def test_conv_transpose2d_derivative(case):
    """The adjoint of the adjoint is the convolution: it equals central differences."""
    arrays, options = case
    check_vjp(ops.conv_transpose2d, *arrays, **options)


@derivative
def test_conv_transpose2d_derivative_does_only_what_is_needed(case):
    """A gradient that is not wanted is not computed."""
    arrays, options = case
    out = ops.conv_transpose2d(*arrays, **options)
    every = pulled_back(ops.conv_transpose2d, out, *arrays, **options)
    for position in range(3):
        only = pulled_back(
            ops.conv_transpose2d, out, *arrays, wanted=[position], **options
        )
        assert [i for i, d in enumerate(only) if d is not None] == [position]
        assert_close(only[position], every[position])


@contract
def test_conv_transpose2d_refuses_channels_that_do_not_fit():
    """The weight's first axis counts the channels that come in."""
    with pytest.raises(ShapeError, match=r"weight is \(4, 2, 3, 3\), but c_in = 3"):
        ops.conv_transpose2d(np.zeros((3, 5, 5)), np.zeros((4, 2, 3, 3)))


@contract
def test_conv_transpose2d_refuses_groups_that_do_not_divide():
    """Three channels make no two groups."""
    with pytest.raises(ShapeError, match="3 channels .* 2 groups"):
        ops.conv_transpose2d(np.zeros((3, 5, 5)), np.zeros((3, 2, 3, 3)), groups=2)


@contract
def test_conv_transpose2d_refuses_a_bias_of_the_wrong_length():
    """The bias has one entry for each channel that comes out, in all groups."""
    with pytest.raises(ShapeError, match=r"bias is \(2,\), .* makes 4 channels"):
        ops.conv_transpose2d(
            np.zeros((2, 5, 5)), np.zeros((2, 2, 3, 3)), np.zeros(2), groups=2
        )


@contract
@pytest.mark.parametrize("extra", [-1, 2])
def test_conv_transpose2d_refuses_an_output_padding_that_means_nothing(extra):
    """Only sizes that the stride merges can be chosen between."""
    with pytest.raises(ValueError, match="output_padding .*must be"):
        ops.conv_transpose2d(
            np.zeros((1, 5, 5)), np.zeros((1, 1, 3, 3)), stride=2, output_padding=extra
        )


@contract
def test_conv_transpose2d_refuses_a_padding_that_leaves_nothing():
    """Padding is cut away from the result, and there must be something left."""
    with pytest.raises(ShapeError, match="leaves nothing"):
        ops.conv_transpose2d(np.zeros((1, 2, 2)), np.zeros((1, 1, 2, 2)), padding=2)
