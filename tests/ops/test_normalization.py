"""The spec of refvlm/ops/normalization.py."""

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

draw = random_arrays(2026)
CALLS = {
    "layer_norm": [
        call(draw(3, 4, 5), (5,)),
        call(draw(3, 4, 5), np.int64(5), draw(5)),
        call(draw(3, 4, 5), (4, 5), draw(4, 5), draw(4, 5), eps=1e-3),
    ],
    "rms_norm": [call(draw(3, 4, 5), (5,), draw(5)), call(draw(2, 3, 4), (3, 4))],
    "channel_layer_norm": [
        call(draw(2, 6, 3, 4)),
        call(draw(2, 6, 3, 4), draw(6), draw(6), eps=1e-3),
        call(draw(0, 6, 3, 4), draw(6), draw(6)),
    ],
    "group_norm": [
        call(draw(2, 6), 2),
        call(draw(2, 6, 3, 4), 3, draw(6), draw(6), eps=1e-3),
        call(draw(0, 6, 3), 2, draw(6), draw(6)),
    ],
    "instance_norm": [
        call(draw(2, 3, 5)),
        call(draw(2, 3, 4, 5), None, None, draw(3), draw(3), eps=1e-3),
        call(draw(2, 3, 5), draw(3), draw(3) ** 2 + 0.5, use_input_stats=False),
        call(draw(0, 3, 5), None, None, draw(3), draw(3)),
    ],
}


@example
def test_layer_norm_of_two_numbers():
    """1 and 3 have mean 2 and deviation 1: they become -1 and 1."""
    np.testing.assert_array_equal(
        ops.layer_norm(np.array([1.0, 3.0]), (2,), eps=0.0), [-1, 1]
    )


@example
def test_rms_norm_divides_by_the_root_mean_square():
    """1 and 7 have mean square 25: both are divided by 5, and no mean is taken off."""
    out = ops.rms_norm(np.array([1.0, 7.0]), (2,), eps=0.0)
    np.testing.assert_allclose(out, [0.2, 1.4])


@example
def test_channel_layer_norm_of_one_pixel():
    """Two channels of one pixel, 1 and 3, become -1 and 1."""
    x = np.array([1.0, 3.0]).reshape(1, 2, 1, 1)
    out = ops.channel_layer_norm(x, eps=0.0)
    np.testing.assert_array_equal(out.ravel(), [-1, 1])


@example
def test_group_norm_treats_groups_apart():
    """Channels 1, 3 and channels 10, 30 are normalised each among themselves."""
    out = ops.group_norm(np.array([[1.0, 3.0, 10.0, 30.0]]), 2, eps=0.0)
    np.testing.assert_array_equal(out, [[-1, 1, -1, 1]])


@example
def test_instance_norm_treats_channels_apart():
    """Each channel of each sample has its own mean and deviation."""
    out = ops.instance_norm(np.array([[[1.0, 3.0], [10.0, 30.0]]]), eps=0.0)
    np.testing.assert_array_equal(out, [[[-1, 1], [-1, 1]]])


spread = tensors((2, 3, 5)).filter(lambda x: x.std(axis=-1).min() > 1e-2)


@law
@given(spread)
def test_layer_norm_gives_mean_zero_and_variance_one(x):
    """Each token by itself: mean 0, and the biased variance 1, over its features."""
    out = ops.layer_norm(x, (5,), eps=0.0)
    mean, variance = out.mean(axis=-1), out.var(axis=-1)
    assert np.abs(mean).max() < 1e-9, f"a token has mean {mean.flat[0]:.3g}, not 0"
    assert np.abs(variance - 1).max() < 1e-9, (
        f"a token has variance {variance.flat[0]:.3g}, not 1: divide by the deviation, "
        "whose square is the mean (over n, not n - 1) of the squared distances"
    )


@law
@given(spread, st.floats(0.1, 10), st.floats(-10, 10))
def test_layer_norm_forgets_scale_and_shift(x, factor, shift):
    """factor x + shift gives what x gives: only the pattern is left."""
    moved = ops.layer_norm(factor * x + shift, (5,), eps=0.0)
    assert np.abs(moved - ops.layer_norm(x, (5,), eps=0.0)).max() < 1e-9


@law
def test_layer_norm_of_equal_numbers_is_the_bias():
    """Nothing to scale up: eps keeps 0/0 away, and the bias is what remains."""
    bias = np.array([1.0, 2.0, 3.0])
    out = ops.layer_norm(np.full((2, 3), 5.0), (3,), np.ones(3), bias)
    np.testing.assert_array_equal(out, [bias, bias])


@law
def test_layer_norm_survives_a_large_mean():
    """Mean 1000, deviation 1, in float32: subtract first, square afterwards."""
    x = random_arrays(2)(64)
    far = (x + 1000).astype(np.float32)
    error = np.abs(ops.layer_norm(far, (64,)) - ops.layer_norm(x, (64,))).max()
    assert error < 1e-3, (
        f"off by {error:.1g}: the mean of squares less the square of the mean loses "
        "all its digits here"
    )


@law
@given(spread, st.floats(0.1, 10))
def test_rms_norm_forgets_the_scale_but_not_the_shift(x, factor):
    """factor x gives what x gives, and the mean square of the result is 1."""
    out = ops.rms_norm(x, (5,), eps=0.0)
    assert np.abs(ops.rms_norm(factor * x, (5,), eps=0.0) - out).max() < 1e-12
    assert np.abs(np.square(out).mean(axis=-1) - 1).max() < 1e-12


@law
@given(spread)
def test_rms_norm_of_what_has_no_mean_is_layer_norm(x):
    """The two differ by the mean alone."""
    x = x - x.mean(axis=-1, keepdims=True)
    rms, layer = ops.rms_norm(x, (5,), eps=1e-6), ops.layer_norm(x, (5,), eps=1e-6)
    assert np.abs(rms - layer).max() < 1e-9


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rms_norm_has_the_machine_epsilon_for_its_eps(dtype):
    """An eps of None is the gap after 1 in the dtype of x, as in PyTorch."""
    x = random_arrays(3)(2, 4, scale=1e-4).astype(dtype)
    eps = float(np.finfo(dtype).eps)
    np.testing.assert_array_equal(ops.rms_norm(x, (4,)), ops.rms_norm(x, (4,), eps=eps))


@law
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_norms_of_half_precision_do_not_overflow(name):
    """The square of 300 does not fit float16: sums are wider than what is summed."""
    x = np.array([-300.0, 300.0] * 8, np.float16)
    with np.errstate(over="ignore"):
        out = getattr(ops, name)(x, (16,))
    assert np.allclose(out, [-1.0, 1.0] * 8, rtol=1e-2), (
        f"-300 and 300 become {out[0]} and {out[1]}, not -1 and 1: the square of 300 "
        "is infinite in float16. Sum in float32 and come back at the end"
    )


@law
def test_channel_layer_norm_is_layer_norm_with_channels_last():
    """Move the channels to the end, layer norm, move them back."""
    draw = random_arrays(5)
    x, weight, bias = draw(2, 6, 3, 4), draw(6), draw(6)
    moved = ops.layer_norm(np.moveaxis(x, 1, -1), (6,), weight, bias)
    assert_close(ops.channel_layer_norm(x, weight, bias), np.moveaxis(moved, -1, 1))


@law
def test_group_norm_lies_between_layer_norm_and_instance_norm():
    """One group is layer norm of the whole sample, a group each is instance norm."""
    x = random_arrays(7)(2, 6, 3, 4)
    assert_close(ops.group_norm(x, 1), ops.layer_norm(x, (6, 3, 4)))
    assert_close(ops.group_norm(x, 6), ops.instance_norm(x))


@law
def test_instance_norm_is_batch_norm_of_one():
    """Batch norm in training, of each sample alone."""
    x = random_arrays(9)(3, 4, 5)
    alone = [ops.batch_norm(s[None], None, None, training=True)[0] for s in x]
    assert_close(ops.instance_norm(x), np.stack(alone))


@oracle
@pytest.mark.parametrize("shape", [(5,), (4, 5)])
def test_layer_norm_equals_torch(compare, shape):
    """PyTorch's layer_norm and its gradients, over one axis and over two."""
    draw = random_arrays(11)
    x, weight, bias = draw(3, 4, 5, scale=2, shift=1), draw(*shape), draw(*shape)

    def reference(torch):
        return torch.nn.functional.layer_norm

    compare(ops.layer_norm, reference, x, shape, weight, bias)
    compare(ops.layer_norm, reference, x, shape, eps=1e-2)


@oracle
@pytest.mark.parametrize("eps", [1e-6, 1e-1])
@pytest.mark.parametrize("shape", [(5,), (4, 5)])
def test_rms_norm_equals_torch(compare, shape, eps):
    """PyTorch's rms_norm and its gradients, over one axis and over two."""
    draw = random_arrays(12)
    x, weight = draw(3, 4, 5, scale=2, shift=1), draw(*shape)
    compare(
        ops.rms_norm,
        lambda torch: torch.nn.functional.rms_norm,
        x,
        shape,
        weight,
        eps=eps,
    )


@oracle
def test_channel_layer_norm_equals_torch(compare):
    """PyTorch's layer_norm of the picture with its channels last, and its gradients."""

    def reference(torch):
        def with_channels_last(x, weight, bias, eps):
            moved = x.permute(0, 2, 3, 1)
            out = torch.nn.functional.layer_norm(moved, (6,), weight, bias, eps)
            return out.permute(0, 3, 1, 2)

        return with_channels_last

    draw = random_arrays(13)
    x, weight, bias = draw(2, 6, 3, 4, scale=2, shift=1), draw(6), draw(6)
    compare(ops.channel_layer_norm, reference, x, weight, bias, eps=1e-3)


@oracle
@pytest.mark.parametrize("groups", [1, 3, 6])
def test_group_norm_equals_torch(compare, groups):
    """PyTorch's group_norm and its gradients."""
    draw = random_arrays(14)
    x, weight, bias = draw(2, 6, 3, 4, scale=2, shift=1), draw(6), draw(6)

    def reference(torch):
        return torch.nn.functional.group_norm

    compare(ops.group_norm, reference, x, groups, weight, bias, eps=1e-3)


@oracle
@pytest.mark.parametrize("use_input_stats", [True, False])
def test_instance_norm_equals_torch(compare, use_input_stats):
    """PyTorch's instance_norm and its gradients, with and without own statistics."""
    draw = random_arrays(15)
    x, mean, variance = draw(2, 3, 5), draw(3), draw(3) ** 2 + 0.5
    weight, bias = draw(3), draw(3)

    def reference(torch):
        def instance_norm(x, weight, bias, **options):
            running = torch.from_numpy(mean.copy()), torch.from_numpy(variance.copy())
            function = torch.nn.functional.instance_norm
            return function(x, *running, weight, bias, **options)

        return instance_norm

    def ours(x, weight, bias, **options):
        running = mean.astype(x.dtype), variance.astype(x.dtype)
        return ops.instance_norm(x, *running, weight, bias, **options)

    compare(ours, reference, x, weight, bias, use_input_stats=use_input_stats)


@derivative
@pytest.mark.parametrize("shape", [(5,), (2, 5)])
def test_layer_norm_derivative(shape):
    """What a common shift or scale would do is taken out of the gradient."""
    draw = random_arrays(16)
    check_vjp(ops.layer_norm, draw(3, 2, 5), shape, draw(*shape), draw(*shape))


@derivative
def test_layer_norm_derivative_is_blind_to_shift_and_scale():
    """The gradient is orthogonal to (1, ..., 1) and, without eps, to x itself."""
    draw = random_arrays(17)
    x, d_out = draw(3, 5), draw(3, 5)
    d_x, *_ = ops.layer_norm_vjp(d_out, x, (5,), None, None, eps=0.0)
    assert np.abs(d_x.sum(axis=-1)).max() < 1e-14
    assert np.abs((d_x * x).sum(axis=-1)).max() < 1e-14


@derivative
@pytest.mark.parametrize("shape", [(5,), (2, 5)])
def test_rms_norm_derivative(shape):
    """What a common scale would do is taken out of the gradient."""
    draw = random_arrays(18)
    check_vjp(ops.rms_norm, draw(3, 2, 5), shape, draw(*shape), eps=1e-3)


@derivative
@pytest.mark.parametrize("name", ["channel_layer_norm", "group_norm", "instance_norm"])
def test_norms_of_no_pictures_have_a_gradient(name):
    """No pictures in, none out; nothing was learnt about the weight and the bias."""
    x, weight, bias = np.zeros((0, 6, 3, 4)), np.ones(6), np.ones(6)
    more = {"group_norm": (2,), "instance_norm": (None, None)}.get(name, ())
    out = getattr(ops, name)(x, *more, weight, bias)
    gradients = pulled_back(getattr(ops, name), out, x, *more, weight, bias)
    assert out.shape == gradients[0].shape == x.shape
    np.testing.assert_array_equal(gradients[-2:], np.zeros((2, 6)))


@derivative
def test_channel_layer_norm_derivative():
    """Layer norm's, with the means over the channels."""
    draw = random_arrays(19)
    check_vjp(ops.channel_layer_norm, draw(2, 4, 2, 3), draw(4), draw(4))


@derivative
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_group_norm_derivative(groups):
    """Layer norm's, with the means over the group."""
    draw = random_arrays(20)
    check_vjp(ops.group_norm, draw(2, 4, 3), groups, draw(4), draw(4))


@contract
@pytest.mark.parametrize("name", ["layer_norm", "rms_norm"])
def test_norms_refuse_a_shape_that_is_not_at_the_end(name):
    """The message says the shape of x and what its last axes should be."""
    message = rf"{name}: x is \(2, 5\), but its last axes should be \(4,\)"
    with pytest.raises(ShapeError, match=message):
        getattr(ops, name)(np.zeros((2, 5)), (4,))
    with pytest.raises(ShapeError, match=r"weight is \(4,\), but should be \(5,\)"):
        getattr(ops, name)(np.zeros((2, 5)), (5,), np.ones(4))


@contract
@pytest.mark.parametrize("groups", [4, 5])
def test_group_norm_refuses_groups_that_do_not_divide(groups):
    """6 channels make no 4 equal groups, and no 5."""
    with pytest.raises(ShapeError, match=f"6 channels do not make {groups} equal"):
        ops.group_norm(np.zeros((2, 6, 3)), groups)


@contract
def test_instance_norm_refuses_a_picture_of_one_pixel():
    """One number has no spread."""
    with pytest.raises(ShapeError, match="one value has no spread"):
        ops.instance_norm(np.zeros((2, 3, 1)))
