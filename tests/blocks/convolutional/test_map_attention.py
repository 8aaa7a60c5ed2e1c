"""The spec of refvlm/blocks/convolutional/map_attention.py."""

import numpy as np
import pytest

from refvlm.blocks.convolutional.map_attention import (
    attention_block,
    attention_block_shapes,
    map_attention,
)
from refvlm.blocks.training_mode import Training
from refvlm.checkpoint import Weights

from ...spec import assert_close, law, oracle, random_arrays
from ...timm_oracles import compare_block
from ...weights import random_weights

BLOCK = attention_block_shapes(64, 96)
ATTENTION = {
    name.removeprefix("token_mixer."): shape
    for name, shape in BLOCK.items()
    if name.startswith("token_mixer.")
}


@law
def test_map_attention_does_not_know_where_a_pixel_is():
    """Shuffle the pixels and the answers are shuffled: hence the position encoding."""
    weights = Weights(random_weights(ATTENTION))
    x = random_arrays(2)(1, 64, 3, 4)
    order = np.random.RandomState(0).permutation(12)

    def shuffled(picture):
        return picture.reshape(1, 64, 12)[..., order].reshape(1, 64, 3, 4)

    assert_close(
        map_attention(shuffled(x), weights), shuffled(map_attention(x, weights)), 1e-12
    )


@law
def test_map_attention_heads_do_not_mix_before_the_projection():
    """Heads are neighbouring 32 channels: the last 32 values reach only their own."""
    tensors = random_weights(ATTENTION)
    tensors["proj.weight"], tensors["proj.bias"] = np.eye(64), np.zeros(64)
    x = random_arrays(3)(1, 64, 3, 4)
    before = map_attention(x, Weights(tensors))
    changed = tensors["qkv.weight"].copy()
    changed[160:] += 1.0  # rows 128-191 are values; from 160 on, of the second head
    after = map_attention(x, Weights(tensors | {"qkv.weight": changed}))
    moved = np.abs(after - before).max(axis=(0, 2, 3)) > 0
    np.testing.assert_array_equal(moved, np.arange(64) >= 32)


@law
def test_attention_block_drops_whole_branches_while_learning():
    """A drop rate of 1 drops both residual branches: the block is the identity."""
    weights = Weights(random_weights(BLOCK))
    x = random_arrays(4)(2, 64, 3, 3)
    training = Training(np.random.default_rng(0))
    assert_close(attention_block(x, weights, 1.0, training), x)


@oracle
@pytest.mark.parametrize("size", [(3, 4), (5, 2)])
def test_map_attention_equals_timm(compare, size):
    """timm's Attention on maps that are not square, so that rows cannot be columns."""
    compare_block(
        compare,
        lambda fastvit: fastvit.Attention(64),
        lambda x, weights, training: map_attention(x, weights),
        ATTENTION,
        random_arrays(5)(2, 64, *size),
    )


@oracle
def test_attention_block_equals_timm(compare):
    """timm's AttentionBlock, with its channel norm, ConvFFN and layer scales."""

    def build(fastvit):
        norm = fastvit.LayerNorm2d
        return fastvit.AttentionBlock(
            64, mlp_ratio=1.5, norm_layer=lambda dim, **k: norm(dim, eps=1e-5, **k)
        )

    compare_block(
        compare,
        build,
        lambda x, weights, training: attention_block(x, weights, training=training),
        BLOCK,
        random_arrays(6)(2, 64, 4, 5),
    )
