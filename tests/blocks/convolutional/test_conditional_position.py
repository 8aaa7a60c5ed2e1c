"""The spec of refvlm/blocks/convolutional/conditional_position.py."""

import numpy as np

from refvlm.blocks.convolutional.conditional_position import (
    conditional_position,
    conditional_position_shapes,
    fold_conditional_position,
)
from refvlm.checkpoint import Weights

from ...spec import assert_close, example, law, oracle, random_arrays
from ...timm_oracles import compare_block
from ...weights import random_weights

SHAPES = conditional_position_shapes(5, folded=False)


@example
def test_fold_conditional_position_adds_one_at_the_centre():
    """x + w * x is (I + w) * x: only the middle tap changes."""
    weights = Weights(
        {"pos_enc.weight": np.zeros((1, 1, 3, 3)), "pos_enc.bias": np.ones(1)}
    )
    weight, bias = fold_conditional_position(weights)
    np.testing.assert_array_equal(weight[0, 0], [[0, 0, 0], [0, 1, 0], [0, 0, 0]])
    np.testing.assert_array_equal(bias, [1])


@law
def test_fold_conditional_position_leaves_the_output():
    """The skip connection is a kernel like any other."""
    weights = Weights(random_weights(SHAPES))
    weight, bias = fold_conditional_position(weights)
    folded = Weights({"reparam_conv.weight": weight, "reparam_conv.bias": bias})
    x = random_arrays(1)(2, 5, 4, 9)
    assert_close(
        conditional_position(x, folded), conditional_position(x, weights), 1e-12
    )


@law
def test_conditional_position_tells_places_apart():
    """A uniform picture gets different values at the border than in the middle."""
    weights = Weights(random_weights(conditional_position_shapes(5)))
    out = conditional_position(np.ones((1, 5, 16, 16)), weights)
    middle = out[..., 3:-3, 3:-3]
    assert_close(middle, np.broadcast_to(middle[..., :1, :1], middle.shape))
    assert np.abs(out[..., 0, 0] - middle[..., 0, 0]).min() > 1e-3


@oracle
def test_conditional_position_equals_timm(compare):
    """timm's RepConditionalPosEnc, its gradients, and folded."""
    compare_block(
        compare,
        lambda fastvit: fastvit.RepConditionalPosEnc(5, spatial_shape=(7, 7)),
        lambda x, weights, training: conditional_position(x, weights),
        SHAPES,
        random_arrays(2)(2, 5, 4, 9),
        fold_conditional_position,
    )
