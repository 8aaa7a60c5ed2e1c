r"""Ways to join one frozen tower to one small decoder: a table of what differs.

    spliced   the picture's tokens stand before the words     [v_1 .. v_m; t_1 .. t_n]
    crossed   before each layer, words look at the picture    t + attention(t, v)
    late      words never see it: it is joined to what the    f(t_out, v_class)
              decoder puts out
    blind     it is not shown

The decoder, a LLaMA, is the same in all of them. What a joint adds is a row of
`JOINTS`: how many of the row's tokens are the picture's, which tensors it brings, and
how the tower's features and ids become final hidden states.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from .. import ops
from ..blocks import connectors
from ..blocks.fusion.cross_attention import cross_attention
from ..blocks.fusion.gated_cross_attention import (
    gated_cross_attention,
    gated_cross_attention_shapes,
)
from ..blocks.fusion.merging import late_mlp, late_product, late_sum
from ..blocks.fusion.resampler import perceiver_resampler, perceiver_resampler_shapes
from ..blocks.transformer import linear
from ..models import llama, qformer, qwen2, rope

JOINT, DECODER = "joint", "decoder"  # the scopes of the weights
EMBEDDING = f"{DECODER}.embed_tokens.weight"
LATENTS, DEPTH = 16, 2  # of the joints that ask the picture so many questions
GATES = "alpha_cross_attn", "alpha_dense"

Shapes = dict[str, tuple[int, ...]]


class Joint(NamedTuple):
    """A way to join. `shapes(seen, config)` are its tensors for features of so many
    numbers; `forward(features, ids, layout, weights, config)` gives final hidden states
    (b, t, h) of features (b, 1 + patches, seen), the class token first.

    `tokens(patches)` of a row are the picture's; with `both_ways` they see each other
    whatever their order.
    """

    forward: Callable
    shapes: Callable[[int, llama.LlamaConfig], Shapes] = lambda seen, config: {}
    tokens: Callable[[int], int] = lambda patches: 0
    both_ways: bool = False


def blind(features, ids, layout, weights, config):
    """The decoder alone: what can be known of pictures that are not seen."""
    words = ops.embedding(ids, weights[EMBEDDING])
    return llama.llama(words, weights.scope(DECODER), config, packing=layout)


def spliced(features, ids, layout, weights, config, connect):
    """The picture's tokens take the places that the row keeps for them."""
    tokens = connect(features[:, 1:], weights.scope(JOINT), config)
    words = ops.embedding(ids[:, tokens.shape[1] :], weights[EMBEDDING])
    row = np.concatenate([tokens, words], axis=1)
    return llama.llama(row, weights.scope(DECODER), config, packing=layout)


def crossed(features, ids, layout, weights, config, look):
    """Before each layer of the decoder every word looks at the patches."""
    decoder, joint = weights.scope(DECODER), weights.scope(JOINT)
    hidden = ops.embedding(ids, weights[EMBEDDING])
    rotary = rope.angles(layout.positions, config, hidden.dtype)
    for i in range(config.num_hidden_layers):
        hidden = look(hidden, features[:, 1:], joint.scope(f"layers.{i}"), config)
        layer = decoder.scope(f"layers.{i}")
        hidden = qwen2.decoder_layer(
            hidden, layer, config, rotary, layout.sees[:, None]
        )
    return _norm(hidden, decoder["norm.weight"], config)


def late(features, ids, layout, weights, config, meet):
    """The decoder is blind; each state that it puts out meets the class token."""
    told = blind(features, ids, layout, weights, config)
    joint = weights.scope(JOINT)
    seen = linear(features[:, :1], joint.scope("seen"))
    return meet(told, np.broadcast_to(seen, told.shape), joint.scope("mlp"))


def _norm(hidden, scale, config):
    return ops.rms_norm(hidden, hidden.shape[-1:], scale, config.rms_norm_eps)


def _typed(patches, weights, config):
    """Patches in the decoder's width, with a mark of their kind."""
    return connectors.linear_connector(patches, weights) + weights["kind"]


def _typed_shapes(seen, config):
    width = config.hidden_size
    return {**connectors.linear_connector_shapes(seen, width), "kind": (width,)}


def qformer_config(seen: int, config: llama.LlamaConfig) -> qformer.QFormerConfig:
    """A Q-Former of the decoder's width: two layers, of which the first looks."""
    return qformer.QFormerConfig(
        num_query_tokens=LATENTS,
        hidden_size=config.hidden_size,
        num_hidden_layers=DEPTH,
        num_attention_heads=config.num_attention_heads,
        intermediate_size=2 * config.hidden_size,
        encoder_hidden_size=seen,
    )


def _queries(patches, weights, config):
    asking = qformer_config(patches.shape[-1], config)
    return linear(qformer.qformer(patches, weights, asking), weights.scope("out"))


def _queries_shapes(seen, config):
    width = config.hidden_size
    return {
        **qformer.expected_shapes(qformer_config(seen, config)),
        **_scoped("out", connectors.linear_connector_shapes(width, width)),
    }


def _latents(patches, weights, config):
    heads = config.num_attention_heads
    latents = perceiver_resampler(patches, weights, heads, DEPTH)
    return linear(latents, weights.scope("out"))


def _latents_shapes(seen, config):
    return {
        **perceiver_resampler_shapes(seen, LATENTS, DEPTH, seen, 2 * seen),
        **_scoped("out", connectors.linear_connector_shapes(seen, config.hidden_size)),
    }


def _looks(hidden, patches, weights, config):
    """Attention alone, added: the look of a textbook's decoder layer."""
    asking = _norm(hidden, weights["norm.weight"], config)
    heads = config.num_attention_heads
    return hidden + cross_attention(asking, patches, weights, heads, out="o_proj")


def _looks_shapes(seen, config):
    shapes = gated_cross_attention_shapes(config.hidden_size, seen, 1)
    attention = {
        name.removeprefix("cross_attn."): shape
        for name, shape in shapes.items()
        if name.startswith("cross_attn.")
    }
    return _in_layers({**attention, "norm.weight": (config.hidden_size,)}, config)


def _gated(hidden, patches, weights, config):
    """Flamingo's layer, whose gates begin shut."""
    return gated_cross_attention(hidden, patches, weights, config.num_attention_heads)


def _gated_shapes(seen, config):
    width = config.hidden_size
    return _in_layers(gated_cross_attention_shapes(width, seen, 2 * width), config)


def _open(hidden, patches, weights, config):
    """The same layer with gates of infinity, whose tanh is 1: it has no gates."""
    always = dict.fromkeys(GATES, np.full(1, math.inf, hidden.dtype))
    return _gated(hidden, patches, weights.add(always), config)


def _open_shapes(seen, config):
    shapes = _gated_shapes(seen, config)
    return {n: s for n, s in shapes.items() if not n.endswith(GATES)}


def _seen_shapes(seen, config):
    return _scoped("seen", connectors.linear_connector_shapes(seen, config.hidden_size))


def _concatenated_shapes(seen, config):
    width = config.hidden_size
    mlp = {
        **_scoped("fc1", connectors.linear_connector_shapes(2 * width, 2 * width)),
        **_scoped("fc2", connectors.linear_connector_shapes(2 * width, width)),
    }
    return {**_seen_shapes(seen, config), **_scoped("mlp", mlp)}


def _scoped(scope: str, shapes: Shapes) -> Shapes:
    return {f"{scope}.{name}": shape for name, shape in shapes.items()}


def _in_layers(shapes: Shapes, config) -> Shapes:
    layers = range(config.num_hidden_layers)
    return {f"layers.{i}.{n}": shape for i in layers for n, shape in shapes.items()}


def _each_patch(patches: int) -> int:
    return patches


def _each_latent(patches: int) -> int:
    return LATENTS


def _connector(connect: Callable) -> Callable[..., Any]:
    return lambda patches, weights, config: connect(patches, weights)


def _connector_shapes(shapes: Callable) -> Callable[..., Shapes]:
    return lambda seen, config: shapes(seen, config.hidden_size)


JOINTS = {
    "blind": Joint(blind),
    "late, sum": Joint(
        partial(late, meet=lambda t, v, w: late_sum(t, v)), _seen_shapes
    ),
    "late, product": Joint(
        partial(late, meet=lambda t, v, w: late_product(t, v)), _seen_shapes
    ),
    "late, MLP": Joint(
        partial(late, meet=lambda t, v, w: late_mlp(t, v, weights=w)),
        _concatenated_shapes,
    ),
    "linear": Joint(
        partial(spliced, connect=_connector(connectors.linear_connector)),
        _connector_shapes(connectors.linear_connector_shapes),
        _each_patch,
    ),
    "MLP": Joint(
        partial(spliced, connect=_connector(connectors.mlp_connector)),
        _connector_shapes(connectors.mlp_connector_shapes),
        _each_patch,
    ),
    "early": Joint(
        partial(spliced, connect=_typed), _typed_shapes, _each_patch, both_ways=True
    ),
    "Q-Former": Joint(
        partial(spliced, connect=_queries), _queries_shapes, _each_latent
    ),
    "Perceiver": Joint(
        partial(spliced, connect=_latents), _latents_shapes, _each_latent
    ),
    "cross": Joint(partial(crossed, look=_looks), _looks_shapes),
    "gates open": Joint(partial(crossed, look=_open), _open_shapes),
    "gates shut": Joint(partial(crossed, look=_gated), _gated_shapes),
}
