"""The spec of refvlm/blocks/convolutional/conv_ffn.py."""

import numpy as np

from refvlm.blocks.convolutional.conv_ffn import conv_ffn, conv_ffn_shapes
from refvlm.blocks.convolutional.conv_norm import fold_conv_norm
from refvlm.checkpoint import Weights

from ...spec import assert_close, check_dtype, law, oracle, random_arrays
from ...timm_oracles import compare_block
from ...weights import random_weights


@law
def test_conv_ffn_sees_three_pixels_far():
    """A 7 x 7 filter: a change in the middle reaches 3 pixels each way, no further."""
    weights = Weights(random_weights(conv_ffn_shapes(3, 6)))
    x = random_arrays(1)(1, 3, 11, 11)
    changed = x.copy()
    changed[..., 5, 5] += 1.0
    moved = np.abs(conv_ffn(changed, weights) - conv_ffn(x, weights)).max(axis=(0, 1))
    reached = np.zeros((11, 11), bool)
    reached[2:9, 2:9] = True
    np.testing.assert_array_equal(moved > 0, reached)


@law
def test_conv_ffn_with_its_norm_folded_is_the_same():
    """What `prepare` does to published weights: the norm moves into the filter."""
    tensors = random_weights(conv_ffn_shapes(4, 12))
    weight, bias = fold_conv_norm(Weights(tensors).scope("conv"))
    folded = {n: v for n, v in tensors.items() if not n.startswith("conv.bn.")}
    folded |= {"conv.conv.weight": weight, "conv.conv.bias": bias}
    x = random_arrays(2)(2, 4, 8, 9)
    assert_close(conv_ffn(x, Weights(folded)), conv_ffn(x, Weights(tensors)), 1e-12)


@law
def test_conv_ffn_keeps_the_dtype():
    """float32 pixels and weights stay float32 all the way."""
    tensors = random_weights(conv_ffn_shapes(3, 6))

    def ffn(x, *values):
        return conv_ffn(x, Weights(dict(zip(tensors, values))))

    check_dtype(ffn, random_arrays(3)(1, 3, 7, 8), *tensors.values())


@oracle
def test_conv_ffn_equals_timm(compare):
    """timm's ConvMlp: at rest, while learning, and its gradients."""
    compare_block(
        compare,
        lambda fastvit: fastvit.ConvMlp(4, 10),
        conv_ffn,
        conv_ffn_shapes(4, 10),
        random_arrays(4)(3, 4, 9, 8),
    )
