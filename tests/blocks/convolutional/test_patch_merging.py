"""The spec of refvlm/blocks/convolutional/patch_merging.py."""

import numpy as np
import pytest

from refvlm.blocks.convolutional.patch_merging import (
    patch_merging,
    patch_merging_shapes,
    space_to_depth,
)
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ...backbones import filled
from ...oracles import import_torchvision
from ...spec import contract, example, law, oracle, random_arrays
from ...weights import random_weights

TENSORS = random_weights(patch_merging_shapes(3), seed=2)
NAMES = sorted(TENSORS)


@example
def test_space_to_depth_goes_down_and_then_across():
    """Of a square 0 1 / 2 3 the token is 0 2 1 3."""
    square = np.arange(4.0).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(space_to_depth(square).ravel(), [0, 2, 1, 3])


@law
def test_space_to_depth_loses_nothing():
    """Every number is there once: a quarter of the tokens, four times as wide."""
    x = random_arrays(1)(2, 4, 6, 3)
    merged = space_to_depth(x)
    assert merged.shape == (2, 2, 3, 12)
    np.testing.assert_array_equal(np.sort(merged, axis=None), np.sort(x, axis=None))


@oracle
@pytest.mark.parametrize("size", [(4, 6), (5, 6), (4, 3), (1, 1)])
def test_patch_merging_equals_timm(compare, size):
    """Swin's, with edges that are even and odd; values and gradients."""
    x = random_arrays(3)(2, *size, 3)

    def reference(torch):
        import_torchvision()
        from timm.models.swin_transformer import PatchMerging

        merging = filled(torch, PatchMerging(3), TENSORS)

        def run(x, *tensors):
            named = dict(zip(NAMES, tensors))
            return torch.func.functional_call(merging, named, (x,))

        return run

    def ours(x, *tensors):
        return patch_merging(x, Weights(dict(zip(NAMES, tensors))))

    compare(ours, reference, x, *(TENSORS[name] for name in NAMES))


@contract
def test_patch_merging_wants_channels_last_and_a_batch():
    """A picture alone has no batch."""
    with pytest.raises(ShapeError, match="patch_merging"):
        patch_merging(np.zeros((4, 4, 3)), Weights(TENSORS))
