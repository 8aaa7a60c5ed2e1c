r"""Alignment: the picture's one vector and the text's, where they can be compared.

    one matrix     192 -> 896                   the source's table: 172,928 parameters
    an MLP         192 -> 384 -> 256, norm      the published code, for the picture
                   896 -> 896 -> 256, norm      and for the text

What comes out goes to `objectives.contrastive`. Names of the MLP's weights are places
in torch.nn.Sequential, as in MicroVLM-V's code.
"""

from __future__ import annotations

from .. import ops
from ..checkpoint import Weights
from ..shapes import shapes
from .transformer import layer_norm, linear


@shapes(cls="b c", returns="b h")
def image_projection(cls, weights):
    r"""Into the width of the words, by one matrix: $W x + b$.

    cls (b, c) is what the tower says of the whole picture. Weights: weight (h, c),
    bias.

    Source: [MicroVLM-V] 1. Oracle: torch.nn.functional.linear.
    """
    return linear(cls, weights)


@shapes(features="b c", returns="b a")
def alignment_projection(features, weights: Weights):
    r"""Into a space of its own, with one size for all:
    $\operatorname{LN}(W_2\,\phi(W_1 x + b_1) + b_2)$.

    features (b, c) are a picture's or a text's, each with its own weights: `0.`, `2.`,
    and the norm's, `3.`

    Source: the code of [MicroVLM-V]. Oracle: torch.nn.Sequential(Linear, GELU, Linear,
    LayerNorm).
    """
    bent = ops.gelu(linear(features, weights.scope("0")))
    return layer_norm(linear(bent, weights.scope("2")), weights.scope("3"))


def image_projection_shapes(width: int, hidden: int) -> dict[str, tuple[int, ...]]:
    """name -> shape, from features of `width` to the decoder's `hidden`."""
    return {"weight": (hidden, width), "bias": (hidden,)}


def alignment_projection_shapes(
    width: int, inner: int, shared: int
) -> dict[str, tuple[int, ...]]:
    """name -> shape, from features of `width` to the `shared` space of both sides."""
    sizes = {"0": (inner, width), "2": (shared, inner), "3": (shared,)}
    return {
        f"{place}.{name}": shape
        for place, size in sizes.items()
        for name, shape in {"weight": size, "bias": size[:1]}.items()
    }
