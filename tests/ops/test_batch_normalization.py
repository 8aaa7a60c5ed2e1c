"""The spec of refvlm/ops/batch_normalization.py."""

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

SHAPES = {"rows": (4, 3), "signals": (3, 3, 5), "pictures": (2, 3, 4, 5)}
each_shape = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


def parameters(shape, seed=1):
    """x, running mean, running variance, weight and bias, all of them random."""
    draw = random_arrays(seed)
    x, channels = draw(*shape, scale=2, shift=1), shape[1]
    variance = draw(channels) ** 2 + 0.5
    return x, draw(channels), variance, draw(channels), draw(channels)


CALLS = {
    "batch_norm": [
        *[call(*parameters(shape)) for shape in SHAPES.values()],
        *[call(*parameters(shape), training=True) for shape in SHAPES.values()],
        call(parameters((4, 3))[0], None, None, training=True, eps=1e-3),
        call(*parameters((0, 3, 5))),
    ],
    "batch_norm_statistics": [
        call(*parameters(shape)[:3], momentum=0.3) for shape in SHAPES.values()
    ],
}


@example
def test_batch_norm_of_two_numbers():
    """1 and 3 have mean 2 and deviation 1: they become -1 and 1."""
    x, zero, one = np.array([[1.0], [3.0]]), np.zeros(1), np.ones(1)
    out = ops.batch_norm(x, zero, one, training=True, eps=0.0)
    np.testing.assert_array_equal(out, [[-1], [1]])


@example
def test_batch_norm_uses_running_statistics_afterwards():
    """Mean 1, variance 4, scale 10, shift 5: the number 3 becomes 10 x 1 + 5."""
    mean, variance, weight, bias = (np.array([v]) for v in (1.0, 4.0, 10.0, 5.0))
    out = ops.batch_norm(np.array([[3.0]]), mean, variance, weight, bias, eps=0.0)
    np.testing.assert_array_equal(out, [[15]])


@example
def test_batch_norm_statistics_move_a_tenth_of_the_way():
    """Mean 2 and unbiased variance 2 move 0 and 1 to 0.2 and 1.1."""
    x = np.array([[1.0], [3.0]])
    mean, variance = ops.batch_norm_statistics(x, np.zeros(1), np.ones(1))
    np.testing.assert_allclose([mean[0], variance[0]], [0.2, 1.1])


@law
@each_shape
def test_batch_norm_gives_mean_zero_and_variance_one(shape):
    """In training each channel has mean 0 and variance 1 over batch and picture."""
    x, mean, variance, _, _ = parameters(shape)
    out = ops.batch_norm(x, mean, variance, training=True, eps=0.0)
    axes = (0, *range(2, len(shape)))
    assert np.abs(out.mean(axis=axes)).max() < 1e-14
    assert np.abs(out.var(axis=axes) - 1).max() < 1e-13


@law
def test_batch_norm_forgets_scale_and_shift():
    """In training, a x + c gives what x gives: the batch's units do not matter."""
    x, mean, variance, weight, bias = parameters((4, 3, 5))
    arrays = mean, variance, weight, bias
    plain = ops.batch_norm(x, *arrays, training=True, eps=0.0)
    moved = ops.batch_norm(10.0 * x + 7.0, *arrays, training=True, eps=0.0)
    assert_close(moved, plain, 1e-12)


@law
def test_batch_norm_in_training_depends_on_the_neighbours():
    """A sample's output changes with its batch in training, and never afterwards."""
    x, *arrays = parameters((4, 3, 5))
    for training in (True, False):
        together = ops.batch_norm(x, *arrays, training=training)[:2]
        apart = ops.batch_norm(x[:2], *arrays, training=training)
        assert np.allclose(together, apart) == (not training)


@law
@given(tensors((2, 3, 4)))
def test_batch_norm_afterwards_is_a_scale_and_a_shift(x):
    """With running statistics it is affine, so it can be folded into a convolution."""
    _, mean, variance, weight, bias = parameters((2, 3, 4))
    scale = weight / np.sqrt(variance + 1e-5)
    affine = x * scale[:, None] + (bias - mean * scale)[:, None]
    out = ops.batch_norm(x, mean, variance, weight, bias)
    assert np.abs(out - affine).max() <= 1e-12


@law
def test_batch_norm_statistics_settle_on_those_of_the_data():
    """Shown the same batch for long, they become its mean and unbiased variance."""
    x, mean, variance, _, _ = parameters((6, 3, 4))
    for _ in range(400):
        mean, variance = ops.batch_norm_statistics(x, mean, variance)
    assert_close(mean, x.mean(axis=(0, 2)))
    assert_close(variance, x.var(axis=(0, 2), ddof=1))


@law
def test_batch_norm_of_half_precision_does_not_overflow():
    """The square of 300 does not fit float16; the deviation does."""
    x = np.array([[-300.0], [300.0]], np.float16)
    out = ops.batch_norm(x, None, None, training=True)
    np.testing.assert_allclose(out, [[-1], [1]], rtol=1e-2)


@oracle
@pytest.mark.parametrize("training", [True, False])
@each_shape
def test_batch_norm_equals_torch(compare, shape, training):
    """PyTorch's batch_norm and its gradients, in training and afterwards."""

    def reference(torch):
        def batch_norm(x, mean, variance, weight, bias, **options):
            mean, variance = mean.detach().clone(), variance.detach().clone()
            function = torch.nn.functional.batch_norm
            return function(x, mean, variance, weight, bias, **options)

        return batch_norm

    compare(ops.batch_norm, reference, *parameters(shape), training=training, eps=1e-3)


@oracle
@pytest.mark.parametrize("part", [0, 1], ids=["mean", "variance"])
def test_batch_norm_statistics_equal_torch(compare, part):
    """The running statistics that PyTorch's batch_norm leaves behind."""

    def reference(torch):
        def statistics(x, *running, momentum):
            running = [values.clone() for values in running]
            torch.nn.functional.batch_norm(
                x, *running, training=True, momentum=momentum
            )
            return running[part]

        return statistics

    def ours(*arrays, momentum):
        return ops.batch_norm_statistics(*arrays, momentum=momentum)[part]

    x, mean, variance, _, _ = parameters((3, 4, 5), seed=2)
    compare(ours, reference, x, mean, variance, gradients=False, momentum=0.3)


@derivative
@each_shape
def test_batch_norm_derivative(shape):
    """In training the mean and the deviation depend on x too."""
    x, _, _, weight, bias = parameters(shape, seed=3)

    def in_training(x, weight, bias):
        return ops.batch_norm(x, None, None, weight, bias, training=True)

    check_vjp(in_training, x, weight, bias)


@derivative
@each_shape
def test_batch_norm_derivative_afterwards(shape):
    """With running statistics each number has its own path: scale times gradient."""
    x, mean, variance, weight, bias = parameters(shape, seed=4)

    def afterwards(x, weight, bias):
        return ops.batch_norm(x, mean, variance, weight, bias)

    check_vjp(afterwards, x, weight, bias)


@contract
def test_batch_norm_refuses_a_weight_of_other_channels():
    """The message says which argument, and how many channels x has."""
    x, mean, variance, _, _ = parameters((2, 3, 4))
    with pytest.raises(ShapeError, match=r"weight is \(4,\), but c = 3"):
        ops.batch_norm(x, mean, variance, np.ones(4))


@contract
def test_batch_norm_refuses_a_batch_of_one_number():
    """One number has no spread: in training there must be more."""
    with pytest.raises(ValueError, match="more than one value a channel"):
        ops.batch_norm(np.ones((1, 3)), None, None, training=True)
    with pytest.raises(ValueError, match="more than one value a channel"):
        ops.batch_norm_statistics(np.ones((1, 3)), np.zeros(3), np.ones(3))


@contract
def test_batch_norm_needs_statistics_from_somewhere():
    """Neither running statistics nor training: the message names both ways out."""
    with pytest.raises(ValueError, match="running statistics, or training=True"):
        ops.batch_norm(np.ones((2, 3)), None, None)


@contract
def test_batch_norm_statistics_refuse_a_momentum_of_none():
    """PyTorch's cumulative average would need a counter, and a function has none."""
    with pytest.raises(ValueError, match="momentum is a number"):
        ops.batch_norm_statistics(np.ones((2, 3)), np.zeros(3), np.ones(3), None)
