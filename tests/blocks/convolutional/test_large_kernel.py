"""The spec of refvlm/blocks/convolutional/large_kernel.py."""

import numpy as np
import pytest

from refvlm.blocks.convolutional.large_kernel import (
    fold_large_kernel,
    large_kernel_conv,
    patch_embed,
    patch_embed_shapes,
)
from refvlm.blocks.convolutional.mobileone import mobileone_block
from refvlm.checkpoint import Weights

from ...spec import assert_close, law, oracle, random_arrays
from ...timm_oracles import compare_block
from ...weights import random_weights

SHAPES = patch_embed_shapes(4, 8, folded=False)
LARGE = {
    name.removeprefix("proj.0."): shape
    for name, shape in SHAPES.items()
    if name.startswith("proj.0.")
}


@law
def test_fold_large_kernel_leaves_the_output():
    """The 3 x 3 branch sits in the middle of the 7 x 7 kernel, at stride 2 too."""
    weights = Weights(random_weights(LARGE))
    weight, bias = fold_large_kernel(weights)
    folded = Weights({"reparam_conv.weight": weight, "reparam_conv.bias": bias})
    x = random_arrays(1)(2, 4, 9, 12)
    assert_close(large_kernel_conv(x, folded), large_kernel_conv(x, weights), 1e-12)


@law
@pytest.mark.parametrize("size", [(8, 8), (7, 5), (1, 9)])
def test_patch_embed_halves_and_rounds_up(size):
    """7 x 7 in steps of two with 3 pixels of padding: ceil(h / 2) x ceil(w / 2)."""
    weights = Weights(random_weights(patch_embed_shapes(3, 6)))
    out = patch_embed(random_arrays(2)(1, 3, *size), weights)
    assert out.shape == (1, 6, -(-size[0] // 2), -(-size[1] // 2))


@law
def test_patch_embed_has_a_gelu_in_the_middle():
    """The activation between the two convolutions is easy to lose, and matters."""
    weights = Weights(random_weights(patch_embed_shapes(3, 6)))
    x = random_arrays(3)(1, 3, 8, 8)
    spatial, pointwise = weights.scope("proj.0"), weights.scope("proj.1")
    active = mobileone_block(large_kernel_conv(x, spatial), pointwise)
    assert_close(patch_embed(x, weights), active)
    without = patch_embed(x, weights, activate=False)
    assert np.abs(without - active).max() > 0.1


@oracle
def test_large_kernel_conv_equals_timm(compare):
    """timm's ReparamLargeKernelConv: at rest, while learning, and folded."""

    def build(fastvit):
        from torch.nn import GELU

        return fastvit.ReparamLargeKernelConv(4, 8, 7, 2, 1, 3, act_layer=GELU)

    compare_block(
        compare,
        build,
        lambda x, weights, training: large_kernel_conv(x, weights, training=training),
        LARGE,
        random_arrays(4)(3, 4, 9, 12),
        fold_large_kernel,
    )


@oracle
@pytest.mark.parametrize("activate", [True, False])
def test_patch_embed_equals_timm(compare, activate):
    """timm's PatchEmbed, with the first GELU (FastViTHD) and without (FastViT)."""
    compare_block(
        compare,
        lambda fastvit: fastvit.PatchEmbed(7, 2, 4, 8, lkc_use_act=activate),
        lambda x, weights, training: patch_embed(
            x, weights, activate=activate, training=training
        ),
        SHAPES,
        random_arrays(5)(3, 4, 9, 12),
    )
