r"""Connectors: from what a tower sees to what a decoder reads.

    linear    $X W^\top + b$                                  LLaVA
    mlp       $\phi(X W_1^\top + b_1) W_2^\top + b_2$         LLaVA-1.5, FastVLM
    queries   m learnt questions, asked of all of X           as in Q-Former

The first two make one token of each patch, the third m tokens of any number. The names
of the second are transformers'; it has no other connector, so the names of the other
two are ours.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import ops
from ..checkpoint import Weights
from ..shapes import shapes
from .attention_layers import multi_head_attention
from .transformer import feed_forward, layer_norm, linear


@shapes(features="... n c", returns="... n h")
def linear_connector(features, weights):
    r"""One matrix, each patch by itself: $X W^\top + b$.

    Weights: weight (h, c), bias (h,) unless absent.

    Source: [Foundations] LLaVA. Oracle: torch.nn.functional.linear.
    """
    return linear(features, weights)


@shapes(features="... n c", returns="... n h")
def mlp_connector(features, weights, activation: Callable = ops.gelu):
    r"""Two matrices and a bend between them, each patch by itself:
    $\phi(X W_1^\top + b_1)\,W_2^\top + b_2$.

    Weights: linear_1.weight (h, c), linear_2.weight (h, h), their biases unless absent.

    Source: [Foundations] LLaVA, [Kamath] projector.
    Oracle: transformers' LlavaMultiModalProjector.
    """
    bent = activation(linear(features, weights.scope("linear_1")))
    return linear(bent, weights.scope("linear_2"))


@shapes(features="b n c", returns="b m h")
def query_connector(features, weights: Weights, num_heads: int):
    r"""Learnt questions, asked of every patch: with $Q$ of m rows,
    $Z = \operatorname{MHA}(Q, \operatorname{LN}(X))$ and
    $Z + \operatorname{FFN}(\operatorname{LN}(Z))$.

    (b, n, c) becomes (b, m, h), whatever n is: the decoder's share of the work no
    longer grows with the picture. Weights: norm., queries (1, m, h), attention., which
    are those of `multi_head_attention`, layernorm., mlp.

    Source: [Foundations] LLaVA, "Q-Former (learned queries)".
    Oracle: torch.nn.MultiheadAttention(kdim=c, vdim=c) with norms around it.
    """
    seen = layer_norm(features, weights.scope("norm"))
    queries, attention = weights["queries"], weights.scope("attention")
    tokens = multi_head_attention(queries, seen, seen, attention, num_heads)
    normed = layer_norm(tokens, weights.scope("layernorm"))
    return tokens + feed_forward(normed, weights.scope("mlp"))


def linear_connector_shapes(width: int, hidden: int, bias: bool = True):
    """name -> shape, from features of `width` to tokens of `hidden`."""
    return {"weight": (hidden, width)} | ({"bias": (hidden,)} if bias else {})


def mlp_connector_shapes(width: int, hidden: int, bias: bool = True):
    """name -> shape, from features of `width` to tokens of `hidden`."""
    first = linear_connector_shapes(width, hidden, bias)
    second = linear_connector_shapes(hidden, hidden, bias)
    return {
        **{f"linear_1.{name}": shape for name, shape in first.items()},
        **{f"linear_2.{name}": shape for name, shape in second.items()},
    }


def query_connector_shapes(width: int, hidden: int, queries: int):
    """name -> shape, from features of `width` to `queries` tokens of `hidden`."""
    return {
        "norm.weight": (width,),
        "norm.bias": (width,),
        "queries": (1, queries, hidden),
        "attention.q_proj_weight": (hidden, hidden),
        "attention.k_proj_weight": (hidden, width),
        "attention.v_proj_weight": (hidden, width),
        "attention.in_proj_bias": (3 * hidden,),
        "attention.out_proj.weight": (hidden, hidden),
        "attention.out_proj.bias": (hidden,),
        "layernorm.weight": (hidden,),
        "layernorm.bias": (hidden,),
        "mlp.fc1.weight": (4 * hidden, hidden),
        "mlp.fc1.bias": (4 * hidden,),
        "mlp.fc2.weight": (hidden, 4 * hidden),
        "mlp.fc2.bias": (hidden,),
    }
