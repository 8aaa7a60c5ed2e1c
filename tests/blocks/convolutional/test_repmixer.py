"""The spec of refvlm/blocks/convolutional/repmixer.py."""

import numpy as np
import pytest

from refvlm.blocks.convolutional.repmixer import (
    fold_repmixer,
    repmixer,
    repmixer_block,
    repmixer_block_shapes,
)
from refvlm.blocks.training_mode import Training
from refvlm.checkpoint import Weights

from ...spec import assert_close, contract, example, law, oracle, random_arrays
from ...timm_oracles import compare_block
from ...weights import random_weights

BLOCK = repmixer_block_shapes(4, 12, folded=False)
MIXER = {
    name.removeprefix("token_mixer."): shape
    for name, shape in BLOCK.items()
    if name.startswith("token_mixer.")
}


@example
def test_repmixer_folded_replaces_x():
    """The skip is inside the folded kernel: one convolution, and nothing is added."""
    weights = Weights(
        {"reparam_conv.weight": np.zeros((1, 1, 3, 3)), "reparam_conv.bias": np.ones(1)}
    )
    x = np.full((1, 1, 2, 2), 7.0)
    np.testing.assert_array_equal(repmixer(x, weights), np.ones((1, 1, 2, 2)))


@law
@pytest.mark.parametrize("kernel", [3, 5])
def test_fold_repmixer_leaves_the_output(kernel):
    """Skip, mixer, norm and scale are linear at rest, so they are one kernel."""
    shapes = repmixer_block_shapes(5, 20, kernel, folded=False)
    weights = Weights(random_weights(shapes)).scope("token_mixer")
    weight, bias = fold_repmixer(weights)
    assert weight.shape == (5, 1, kernel, kernel)
    folded = Weights({"reparam_conv.weight": weight, "reparam_conv.bias": bias})
    x = random_arrays(1)(2, 5, 7, 6)
    assert_close(repmixer(x, folded), repmixer(x, weights), 1e-12)


@law
def test_fold_repmixer_of_a_new_network_is_nearly_the_identity():
    """With a layer scale of 0, whatever the branches say, x passes unchanged."""
    tensors = random_weights(MIXER)
    tensors["layer_scale.gamma"] = np.zeros((4, 1, 1))
    weight, bias = fold_repmixer(Weights(tensors))
    x = random_arrays(2)(1, 4, 5, 5)
    folded = Weights({"reparam_conv.weight": weight, "reparam_conv.bias": bias})
    np.testing.assert_array_equal(repmixer(x, folded), x)


@law
def test_repmixer_block_drops_whole_branches_while_learning():
    """A drop rate of 1 leaves the mixed tokens alone: y = RepMixer(x)."""
    weights = Weights(random_weights(BLOCK))
    x = random_arrays(3)(3, 4, 5, 5)
    dropped = repmixer_block(x, weights, 1.0, Training(np.random.default_rng(0)))
    mixed = repmixer(x, weights.scope("token_mixer"), Training())
    assert_close(dropped, mixed)


@oracle
def test_repmixer_equals_timm(compare):
    """timm's RepMixer: at rest, while learning, gradients, and folded."""
    compare_block(
        compare,
        lambda fastvit: fastvit.RepMixer(4),
        repmixer,
        MIXER,
        random_arrays(4)(3, 4, 7, 6),
        fold_repmixer,
    )


@oracle
def test_repmixer_block_equals_timm(compare):
    """timm's RepMixerBlock, with its ConvFFN and layer scale."""
    compare_block(
        compare,
        lambda fastvit: fastvit.RepMixerBlock(4, mlp_ratio=3.0),
        lambda x, weights, training: repmixer_block(x, weights, training=training),
        BLOCK,
        random_arrays(5)(3, 4, 9, 8),
    )


@contract
def test_repmixer_block_needs_a_generator_to_drop():
    """Noise without a generator would be hidden state; it is refused."""
    weights = Weights(random_weights(BLOCK))
    with pytest.raises(ValueError, match="rng"):
        repmixer_block(random_arrays(6)(2, 4, 5, 5), weights, 0.5, Training())
