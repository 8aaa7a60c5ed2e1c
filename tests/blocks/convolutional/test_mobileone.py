"""The spec of refvlm/blocks/convolutional/mobileone.py."""

import numpy as np
import pytest

from refvlm import ops
from refvlm.blocks.convolutional.mobileone import (
    fold_mobileone,
    mobileone_block,
    mobileone_shapes,
)
from refvlm.checkpoint import Weights

from ...spec import assert_close, contract, example, law, oracle, random_arrays
from ...timm_oracles import compare_block
from ...weights import random_weights

# What FastViTHD has: three in the stem, one in a patch embedding, one at the end.
CASES = {
    "dense, strided": dict(c_in=3, c_out=4, kernel=3, stride=2),
    "depthwise, strided": dict(c_in=4, c_out=4, kernel=3, stride=2, groups=4),
    "pointwise": dict(c_in=4, c_out=4, kernel=1),
    "depthwise, three branches": dict(c_in=4, c_out=4, kernel=3, groups=4),
    "doubling, squeezed": dict(c_in=4, c_out=8, kernel=3, groups=4, squeeze=True),
    "no scale branch": dict(c_in=4, c_out=4, kernel=3, scale_branch=False),
}


@pytest.fixture(params=CASES.values(), ids=CASES.keys())
def case(request):
    return request.param


def block_of(case):
    """The block as a function of (x, weights, training)."""
    stride = case.get("stride", 1)
    return lambda x, weights, training: mobileone_block(
        x, weights, stride, training=training
    )


@example
def test_mobileone_block_by_hand():
    """A pointwise filter of 2 and an identity, both norms at rest: 2x + x = 3x."""
    rest = dict(
        running_mean=np.zeros(1),
        running_var=np.full(1, 1 - 1e-5),
        weight=np.ones(1),
        bias=np.zeros(1),
    )
    weights = Weights(
        {
            "conv_kxk.0.conv.weight": np.full((1, 1, 1, 1), 2.0),
            **{f"conv_kxk.0.bn.{name}": value for name, value in rest.items()},
            **{f"identity.{name}": value for name, value in rest.items()},
        }
    )
    x = np.array([[[[1.0, -2.0]]]])
    assert_close(mobileone_block(x, weights, activate=False), 3 * x)
    weight, bias = fold_mobileone(weights)
    assert_close(weight, np.full((1, 1, 1, 1), 3.0))
    assert_close(bias, np.zeros(1))


@law
def test_fold_mobileone_leaves_the_output(case):
    """At rest, the branches and the one convolution are the same map."""
    tensors = random_weights(mobileone_shapes(**case, folded=False))
    weight, bias = fold_mobileone(Weights(tensors))
    squeeze = {name: value for name, value in tensors.items() if name[:3] == "se."}
    folded = {"reparam_conv.weight": weight, "reparam_conv.bias": bias, **squeeze}
    shapes = {name: value.shape for name, value in folded.items()}
    assert shapes == mobileone_shapes(**case)
    x = random_arrays(1)(2, case["c_in"], 7, 6)
    block = block_of(case)
    assert_close(
        block(x, Weights(folded), None), block(x, Weights(tensors), None), 1e-12
    )


@law
def test_mobileone_block_doubling_reads_channel_j_over_2():
    """In c groups with 2c filters, output j sees input channel j // 2, and no other."""
    weights = Weights(random_weights(mobileone_shapes(3, 6, 3, groups=3)))
    x = random_arrays(2)(1, 3, 5, 5)
    changed = x.copy()
    changed[:, 1] += 1.0
    before, after = mobileone_block(x, weights), mobileone_block(changed, weights)
    moved = np.abs(after - before).max(axis=(0, 2, 3)) > 0
    np.testing.assert_array_equal(moved, [False, False, True, True, False, False])


@law
def test_mobileone_block_activates_last():
    """Without the activation come the sums themselves; the block is their GELU."""
    weights = Weights(random_weights(mobileone_shapes(4, 4, 3, folded=False)))
    x = random_arrays(3)(2, 4, 5, 5)
    sums = mobileone_block(x, weights, activate=False)
    assert_close(mobileone_block(x, weights), ops.gelu(sums))


@oracle
def test_mobileone_block_equals_timm(compare, case):
    """timm's MobileOneBlock: at rest, while learning, gradients, and folded."""
    groups = case.get("groups", 1)

    def build(fastvit):
        return fastvit.MobileOneBlock(
            case["c_in"],
            case["c_out"],
            case["kernel"],
            stride=case.get("stride", 1),
            group_size=0 if groups == 1 else 1,
            use_se=case.get("squeeze", False),
            use_scale_branch=case.get("scale_branch", True),
        )

    shapes = mobileone_shapes(**case, folded=False)
    x = random_arrays(4)(3, case["c_in"], 7, 6)
    compare_block(compare, build, block_of(case), shapes, x, fold_mobileone)


@contract
def test_fold_mobileone_asks_how_large_the_identity_is():
    """A kernel that changes nothing may be of any odd size: alone, it does not say."""
    shapes = mobileone_shapes(2, 2, 3, folded=False)
    tensors = random_weights({n: s for n, s in shapes.items() if n[:8] == "identity"})
    with pytest.raises(ValueError, match="kernel_size"):
        fold_mobileone(Weights(tensors))
    assert fold_mobileone(Weights(tensors), 5)[0].shape == (2, 1, 5, 5)
