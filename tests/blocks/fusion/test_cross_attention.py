"""The spec of refvlm/blocks/fusion/cross_attention.py."""

import numpy as np
import pytest

from refvlm.blocks.attention_layers import multi_head_attention
from refvlm.blocks.fusion.cross_attention import cross_attention
from refvlm.blocks.transformer import self_attention
from refvlm.checkpoint import Weights
from refvlm.shapes import ShapeError

from ...spec import assert_close, contract, law, random_arrays
from ...weights import random_weights

SHAPES = {
    "q_proj.weight": (6, 6),
    "k_proj.weight": (6, 5),
    "v_proj.weight": (6, 5),
    "out_proj.weight": (6, 6),
    "out_proj.bias": (6,),
}
TENSORS = random_weights(SHAPES, seed=1)
DRAW = random_arrays(2)
X, Y = DRAW(2, 4, 6), DRAW(2, 3, 5)


@law
def test_cross_attention_is_multi_head_attention_by_other_names():
    """q_proj.weight here is q_proj_weight there, and the numbers are the same."""
    named = {n.replace("_proj.w", "_proj_w"): a for n, a in TENSORS.items()}
    named["out_proj.weight"] = TENSORS["out_proj.weight"]
    mask = np.array([[True, True, False], [True, False, True]])[:, None, None]
    ours = cross_attention(X, Y, Weights(TENSORS), 3, mask)
    np.testing.assert_array_equal(multi_head_attention(X, Y, Y, named, 3, mask), ours)


@law
def test_cross_attention_with_itself_is_self_attention():
    """Who asks themselves needs no function of their own."""
    tensors = random_weights(
        {f"{name}_proj.weight": (6, 6) for name in ("q", "k", "v", "out")}
    )
    weights = Weights(tensors)
    assert_close(cross_attention(X, X, weights, 2), self_attention(X, weights, 2))


@law
def test_cross_attention_has_heads_of_any_width():
    """Two heads of four ask tokens of six features, and answer in six."""
    shapes = {f"{n}_proj.weight": (8, 6) for n in "qkv"} | {"o.weight": (6, 8)}
    weights = Weights(random_weights(shapes))
    assert cross_attention(X, X[:, :3], weights, 2, out="o").shape == (2, 4, 6)


@law
def test_cross_attention_of_nothing():
    """Who asks nothing hears nothing; who asks nobody hears the bias."""
    weights = Weights(TENSORS)
    assert cross_attention(X[:, :0], Y, weights, 3).shape == (2, 0, 6)
    blind = cross_attention(X, Y[:, :0], weights, 3)
    assert_close(blind, np.broadcast_to(TENSORS["out_proj.bias"], X.shape))


@contract
def test_cross_attention_refuses_what_does_not_fit():
    """Heads, widths, batches and masks, each by its name."""
    weights = Weights(TENSORS)
    with pytest.raises(ShapeError, match="cross_attention: 6 features .* 4 heads"):
        cross_attention(X, Y, weights, 4)
    with pytest.raises(
        ShapeError, match=r"x is \(2, 3, 5\), but q_proj.weight reads 6"
    ):
        cross_attention(Y, Y, weights, 3)
    with pytest.raises(
        ShapeError, match=r"y is \(2, 4, 6\), but k_proj.weight reads 5"
    ):
        cross_attention(X, X, weights, 3)
    with pytest.raises(ShapeError, match=r"y is \(1, 3, 5\), but b = 2"):
        cross_attention(X, Y[:1], weights, 3)
    with pytest.raises(ShapeError, match=r"attn_mask is \(2, 5\).*\(2, 3, 4, 3\)"):
        cross_attention(X, Y, weights, 3, np.ones((2, 5), bool))
