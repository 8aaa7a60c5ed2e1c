r"""Streams: where the two sides meet decides what may depend on what.

    dual      z = g(f_v(x_v), f_t(x_t))     they meet at the end, as vectors
    single    z = f([x_v; x_t])             they meet in every layer, as tokens

What a tower of a dual stream says of a picture holds for every question, and can be
stored. In a single stream each token is read in the light of all others, and nothing
can be kept. The third way, cross-attention, is `decoder_layers` for words that look and
`attention_layers.bidirectional_cross_attention` for both sides.
"""

from __future__ import annotations

from collections.abc import Callable

from ... import ops
from ...arguments import check_whole
from ...checkpoint import Weights
from ..transformer import transformer_block, transformer_block_shapes
from .merging import early_fusion


def dual_stream(vision, text, look: Callable, read: Callable, join: Callable):
    r"""Two towers, and what joins them: $z = g(f_v(x_v), f_t(x_t))$.

    `look` and `read` are functions of their own side, `join` one of what both said:
    `late_sum`, `gated_fusion`, or the cosine, which makes it CLIP.

    Source: [Cortes] 1.2, 5.2. Oracle: the same composition in torch.

    >>> dual_stream(3, "word", lambda x: 2 * x, len, lambda v, t: v + t)
    10
    """
    return join(look(vision), read(text))


def single_stream(
    *sequences,
    weights: Weights,
    num_heads: int,
    depth: int,
    attn_mask=None,
    is_causal: bool = False,
    norm_first: bool = True,
    activation: Callable = ops.gelu,
    eps: float = 1e-5,
):
    r"""One transformer over all tokens: $z = f([x_v; x_t])$.

    Each is (b, n_i, d), the result (b, n_1 + n_2 + ..., d). Weights:
    `layers.i.`, those of `transformer_block`, and `types` (k, d), if the tokens are to
    say which side they are from.

    Source: [Cortes] 1.2, 5.1. Oracle: torch.nn.TransformerEncoder of torch.cat.
    """
    check_whole("single_stream", depth=depth)
    hidden = early_fusion(*sequences, types=weights.get("types"))
    for i in range(depth):
        hidden = transformer_block(
            hidden,
            weights.scope(f"layers.{i}"),
            num_heads,
            attn_mask,
            is_causal,
            norm_first,
            activation,
            eps,
        )
    return hidden


def single_stream_shapes(
    dim: int, hidden: int, depth: int, modalities: int = 2
) -> dict[str, tuple[int, ...]]:
    """Every tensor by name; `hidden` is the width of the feed-forward networks."""
    block = transformer_block_shapes(dim, hidden)
    return {
        "types": (modalities, dim),
        **{f"layers.{i}.{name}": block[name] for i in range(depth) for name in block},
    }
