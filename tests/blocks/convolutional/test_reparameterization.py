"""The spec of refvlm/blocks/convolutional/reparameterization.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.blocks.convolutional import reparameterization
from refvlm.shapes import ShapeError

from ...spec import assert_close, contract, example, law, oracle, random_arrays, tensors


@example
def test_fold_batch_norm_by_hand():
    """Variance 4 halves, the scale 3 triples: the filter 2 becomes 3, mean 1 leaves."""
    weight, bias = reparameterization.fold_batch_norm(
        np.full((1, 1, 1, 1), 2.0),
        None,
        np.array([1.0]),
        np.array([4.0]),
        np.array([3.0]),
        np.array([10.0]),
        eps=0.0,
    )
    np.testing.assert_array_equal(weight, [[[[3.0]]]])
    np.testing.assert_array_equal(bias, [8.5])  # 10 + 3/2 (0 - 1)


@example
def test_merge_branches_by_hand():
    """3 x 3 of ones, beside a 1 x 1 of weight 5: the centre tap counts 6 times."""
    kernel, bias = reparameterization.merge_branches(
        [
            (np.ones((1, 1, 3, 3)), np.array([0.5])),
            (np.full((1, 1, 1, 1), 5.0), np.array([1.0])),
        ]
    )
    np.testing.assert_array_equal(kernel[0, 0], [[1, 1, 1], [1, 6, 1], [1, 1, 1]])
    np.testing.assert_array_equal(bias, [1.5])


groups_and_channels = st.sampled_from([(1, 1), (1, 4), (2, 4), (4, 4), (3, 6)])


@example
def test_identity_kernel_has_a_single_one():
    """Two channels, each in a group of its own: a 1 in the middle of 3 x 3."""
    kernel = reparameterization.identity_kernel(2, 3, groups=2)
    only = [[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    np.testing.assert_array_equal(kernel, [[only], [only]])


@law
@given(tensors((2, 4, 5, 6)), st.sampled_from([1, 2, 4]), st.booleans())
def test_fold_batch_norm_leaves_the_output(x, groups, with_bias):
    """A convolution and a batch norm at rest are one affine map, so one convolution."""
    draw = random_arrays(groups)
    kernel, conv_bias = draw(8, 4 // groups, 3, 3), draw(8) if with_bias else None
    mean, variance, weight, bias = draw(8), np.abs(draw(8)) + 0.1, draw(8), draw(8)
    apart = ops.batch_norm(
        ops.conv2d(x, kernel, conv_bias, padding=1, groups=groups),
        mean,
        variance,
        weight,
        bias,
    )
    folded = reparameterization.fold_batch_norm(
        kernel, conv_bias, mean, variance, weight, bias
    )
    assert_close(ops.conv2d(x, *folded, padding=1, groups=groups), apart, 1e-12)


@law
@given(groups_and_channels, st.sampled_from([1, 3, 7]), st.data())
def test_identity_kernel_changes_nothing(sizes, kernel_size, data):
    """The kernel with a single 1 at the centre gives every picture back."""
    groups, channels = sizes
    x = data.draw(tensors((channels, 5, 4)))
    kernel = reparameterization.identity_kernel(
        channels, kernel_size, groups, np.float64
    )
    out = ops.conv2d(x, kernel, padding=kernel_size // 2, groups=groups)
    np.testing.assert_array_equal(out, x)


@law
@given(tensors((3, 6, 5)), st.sampled_from([(1, 3), (3, 7), (1, 7), (3, 3)]))
def test_pad_kernel_changes_nothing(x, sizes):
    """A kernel in a frame of zeros, with padding to match, sees the same."""
    small, large = sizes
    kernel = random_arrays(3)(2, 3, small, small)
    framed = reparameterization.pad_kernel(kernel, large)
    assert framed.shape == (2, 3, large, large)
    expected = ops.conv2d(x, kernel, padding=small // 2)
    assert_close(ops.conv2d(x, framed, padding=large // 2), expected, 1e-12)


@law
@given(tensors((2, 3, 5, 7)), st.integers(1, 3))
def test_merge_branches_sums_the_maps(x, stride):
    """Adding kernels is adding maps, at any stride: convolution is linear."""
    draw = random_arrays(8)
    branches = [(draw(4, 3, size, size), draw(4)) for size in (3, 1, 7)]
    apart = sum(
        ops.conv2d(x, kernel, bias, stride, kernel.shape[-1] // 2)
        for kernel, bias in branches
    )
    assert_close(
        ops.conv2d(x, *reparameterization.merge_branches(branches), stride, 3),
        apart,
        1e-12,
    )


@oracle
@pytest.mark.parametrize("with_bias", [False, True])
def test_fold_batch_norm_equals_torch(compare, with_bias):
    """PyTorch's own fusion of a convolution with the norm after it."""
    draw = random_arrays(12)
    kernel, conv_bias = draw(6, 2, 3, 3), draw(6) if with_bias else None
    mean, variance, weight, bias = draw(6), np.abs(draw(6)) + 0.1, draw(6), draw(6)

    def ask(torch):
        arrays = (kernel, conv_bias, mean, variance, weight, bias)
        k, b, m, v, w, s = (
            None if array is None else torch.from_numpy(array) for array in arrays
        )
        fuse = torch.nn.utils.fusion.fuse_conv_bn_weights
        fused = fuse(k, b, m, v, 1e-5, w, s)
        names = ("weight", "bias")
        return {n: t.detach().numpy().copy() for n, t in zip(names, fused)}

    answers = compare.answers(ask, (kernel, conv_bias, mean, variance, weight, bias))
    folded = reparameterization.fold_batch_norm(
        kernel, conv_bias, mean, variance, weight, bias
    )
    assert_close(folded[0], answers["weight"])
    assert_close(folded[1], answers["bias"])


@oracle
@pytest.mark.parametrize("groups", [1, 2, 6])
def test_identity_kernel_equals_torch(compare, groups):
    """PyTorch calls it the Dirac initialisation."""

    def ask(torch):
        empty = torch.zeros(6, 6 // groups, 3, 3, dtype=torch.float64)
        return {"kernel": torch.nn.init.dirac_(empty, groups).numpy()}

    answers = compare.answers(ask, groups)
    assert_close(
        reparameterization.identity_kernel(6, 3, groups, np.float64), answers["kernel"]
    )


@contract
def test_identity_kernel_refuses_what_has_no_centre():
    """An even kernel has no middle, and 5 channels do not make 2 groups."""
    with pytest.raises(ValueError, match="4 x 4 has no centre"):
        reparameterization.identity_kernel(3, 4)
    with pytest.raises(ValueError, match="5 channels .* 2 groups"):
        reparameterization.identity_kernel(5, 3, 2)


@contract
def test_merge_branches_refuses_branches_that_do_not_fit():
    """An even kernel cannot be centred in an odd one; channels have to agree."""
    with pytest.raises(ShapeError, match="cannot be centred"):
        reparameterization.pad_kernel(np.zeros((2, 2)), 3)
    bias = np.zeros(2)
    with pytest.raises(ShapeError, match="different maps"):
        reparameterization.merge_branches(
            [(np.zeros((2, 1, 3, 3)), bias), (np.zeros((2, 2, 1, 1)), bias)]
        )
    with pytest.raises(ValueError, match="at least one branch"):
        reparameterization.merge_branches([])
