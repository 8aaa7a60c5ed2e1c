"""The spec of refvlm/blocks/convolutional/stem.py."""

import pytest

from refvlm.autodiff import Variable
from refvlm.blocks.convolutional.mobileone import fold_mobileone, mobileone_shapes
from refvlm.blocks.convolutional.stem import BLOCKS, stem
from refvlm.checkpoint import Weights

from ...spec import assert_close, law, random_arrays
from ...weights import random_weights

DIM = 6


def tensors(folded):
    """Those of the three blocks, at random."""
    blocks = {
        "stem.0": mobileone_shapes(3, DIM, 3, 2, folded=folded),
        "stem.1": mobileone_shapes(DIM, DIM, 3, 2, DIM, folded=folded),
        "stem.2": mobileone_shapes(DIM, DIM, 1, folded=folded),
    }
    return random_weights(
        {f"{name}.{n}": shape for name, b in blocks.items() for n, shape in b.items()}
    )


@law
@pytest.mark.parametrize("size", [(64, 64), (37, 50), (5, 3)])
def test_stem_folded_is_the_stem_with_its_branches(size):
    """Three convolutions say what three blocks of branches say."""
    weights, x = Weights(tensors(folded=False)), random_arrays(3)(2, 3, *size)
    folded = {}
    for name, _ in BLOCKS:
        weight, bias = fold_mobileone(weights.scope(name))
        folded[f"{name}.reparam_conv.weight"] = weight
        folded[f"{name}.reparam_conv.bias"] = bias
    out = stem(x, Weights(folded))
    assert out.shape == (2, DIM, -(-size[0] // 4), -(-size[1] // 4))
    assert_close(out, stem(x, weights), 1e-12)


@law
@pytest.mark.parametrize("folded", [True, False])
def test_stem_is_the_same_for_arrays_and_variables(folded):
    """In bands where nothing is traced, map by map where something is."""
    weights, x = Weights(tensors(folded)), random_arrays(4)(1, 3, 8, 8)
    assert_close(stem(Variable(x), weights).value, stem(x, weights))
