r"""Resamplers: however many tokens a picture has, a few learnt ones ask it what it is.

    plain       latents = MHA(latents, picture)                          [Cortes] 5.4
    Perceiver   latents = latents + attention(latents, [picture; latents])
                latents = latents + FFN(latents)          depth times, then a norm

What comes out has as many tokens as there are latents, so the decoder's cost no longer
depends on the picture's size. Names of weights are those of IDEFICS, under
`perceiver_resampler.` in its checkpoints.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ... import ops
from ...arguments import check_whole
from ...checkpoint import Weights
from ...shapes import shapes
from ..attention_layers import heads_share, multi_head_attention, projections
from ..transformer import layer_norm, linear
from . import demands
from .cross_attention import cross_attention


@shapes(picture="b m d_v", returns="b n d")
def latent_queries(picture, weights: Weights, num_heads: int, picture_mask=None):
    r"""A few learnt tokens ask the picture, once:
    $Z = \operatorname{MHA}(Q_{latent}, Z_v, Z_v)$.

    picture (b, m, d_v) to (b, n, d), for latents (n, d). The cost is n m scores in
    place of the m^2 that the picture's tokens would have among themselves. Weights:
    `latents`, and those of `multi_head_attention` under `attention.`.

    Source: [Cortes] 5.4. Oracle: torch.nn.MultiheadAttention, asked by a parameter.
    """
    name, scope = "latent_queries", weights.scope("attention")
    latents = weights["latents"]
    count, width = latents.shape
    heads_share(name, width, num_heads)
    keys, _ = projections(scope, width)[1]
    demands.features_fit(name, "picture", picture, "attention's keys", keys)
    scores = len(picture), num_heads, count, picture.shape[1]
    demands.mask_fits(name, "picture_mask", picture_mask, scores)
    asking = for_each(picture, latents)
    return multi_head_attention(
        asking, picture, picture, scope, num_heads, picture_mask
    )


@shapes(picture="b m d", returns="b n d")
def perceiver_resampler(
    picture,
    weights: Weights,
    num_heads: int,
    depth: int,
    picture_mask=None,
    activation: Callable = ops.relu,
    eps: float = 1e-5,
):
    r"""The latents ask the picture and each other, and think, `depth` times:
    $z \leftarrow z + \operatorname{MHA}(z, [x; z])$,
    $z \leftarrow z + W_2\,\phi(W_1 \operatorname{LN}(z))$, then $\operatorname{LN}(z)$.

    picture (b, m, d) to (b, n, d), for latents (n, d). picture_mask (b, m) is True
    where a token counts. Weights: `latents`; `blocks.i.0.`, the attention, with norms
    `context_layer_norm.` and `latents_layer_norm.` and no biases; `blocks.i.1.`, `ln.`,
    `fc.` and `c_proj.`; `layer_norm.`. With q_layer_norm and k_layer_norm, a head's
    queries and keys are normed. (Flamingo's activation is a squared ReLU, IDEFICS' a
    ReLU.)

    Source: [Alayrac2022]; [Cortes] 5.4 has the idea. Oracle: transformers'
    IdeficsPerceiverResampler.
    """
    name = "perceiver_resampler"
    check_whole(name, depth=depth)
    latents = weights["latents"]
    demands.features_fit(name, "picture", picture, "latents", latents)
    hidden = for_each(picture, latents)
    mask = None
    if picture_mask is not None:
        demands.mask_fits(name, "picture_mask", picture_mask, picture.shape[:2])
        seen = np.broadcast_to(picture_mask.astype(bool), picture.shape[:2])
        others = np.ones((len(picture), len(latents)), bool)
        mask = np.concatenate([seen, others], axis=1)[:, None, None, :]

    def norm(x, scope):
        return layer_norm(x, scope, eps)

    for i in range(depth):
        block = weights.scope(f"blocks.{i}.0")
        asking = norm(hidden, block.scope("latents_layer_norm"))
        context = norm(picture, block.scope("context_layer_norm"))
        hidden = hidden + cross_attention(
            asking,
            np.concatenate([context, asking], axis=1),
            block,
            num_heads,
            mask,
            out="output_proj",
            norm=norm,
        )
        block = weights.scope(f"blocks.{i}.1")
        wide = activation(linear(norm(hidden, block.scope("ln")), block.scope("fc")))
        hidden = hidden + linear(wide, block.scope("c_proj"))
    return norm(hidden, weights.scope("layer_norm"))


def for_each(picture, latents):
    """The same latents for every picture of the batch: (n, d) -> (b, n, d)."""
    return np.broadcast_to(latents, (len(picture), *latents.shape))


def perceiver_resampler_shapes(
    dim: int, latents: int, depth: int, inner: int, hidden: int | None = None
) -> dict[str, tuple[int, ...]]:
    """Every tensor by name; `inner` is heads x their width, `hidden` that of the
    feed-forward, 4 d unless given."""
    hidden = 4 * dim if hidden is None else hidden
    block = {
        **{f"0.{n}_layer_norm.{k}": (dim,) for n in NORMED for k in ("weight", "bias")},
        **{f"0.{n}_proj.weight": (inner, dim) for n in "qkv"},
        "0.output_proj.weight": (dim, inner),
        "1.ln.weight": (dim,),
        "1.ln.bias": (dim,),
        "1.fc.weight": (hidden, dim),
        "1.c_proj.weight": (dim, hidden),
    }
    return {
        "latents": (latents, dim),
        **{
            f"blocks.{i}.{n}": shape for i in range(depth) for n, shape in block.items()
        },
        "layer_norm.weight": (dim,),
        "layer_norm.bias": (dim,),
    }


NORMED = ("context", "latents")
