r"""Qwen2: the decoder that reads the picture and writes the answer.

    hidden = E[ids]
    hidden = hidden + GQA(RMSNorm(hidden))      \  24 times
    hidden = hidden + SwiGLU(RMSNorm(hidden))   /
    logits = RMSNorm(hidden) @ head.T

Names of weights are those of the published checkpoints, under `model.` in Qwen2's own
files. Sources: [MicroVLM-V] 3, [Kamath] LLM. Oracle: transformers.Qwen2ForCausalLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from .. import ops
from ..arguments import check_whole
from ..blocks.kv_cache import ContextError, KVCache
from ..checkpoint import Weights
from ..shapes import shapes
from . import fields


@dataclass(frozen=True)
class Qwen2Config:
    """The numbers that make one Qwen2 another; field names are those of config.json."""

    vocab_size: int = 151936
    hidden_size: int = 896
    intermediate_size: int = 4864
    num_hidden_layers: int = 24
    num_attention_heads: int = 14
    num_key_value_heads: int = 2
    head_dim: int = 64
    max_position_embeddings: int = 32768
    rms_norm_eps: float = 1e-6
    rope_theta: float = 1e6
    tie_word_embeddings: bool = True

    @classmethod
    def from_json(cls, config: Mapping) -> Qwen2Config:
        """From the parsed config.json of a Qwen2, strictly."""
        fields.only(config, "hidden_act", "silu", default="silu")
        fields.only(config, "use_sliding_window", False, default=False)
        heads = fields.whole(config, "num_attention_heads", 32, high=1024)
        hidden = fields.whole(config, "hidden_size", 4096, high=1 << 16)
        built = cls(
            vocab_size=fields.whole(config, "vocab_size", 151936),
            hidden_size=hidden,
            intermediate_size=fields.whole(config, "intermediate_size", 22016),
            num_hidden_layers=fields.whole(config, "num_hidden_layers", 32, high=1024),
            num_attention_heads=heads,
            num_key_value_heads=fields.whole(config, "num_key_value_heads", heads),
            head_dim=fields.whole(config, "head_dim", hidden // heads, high=4096),
            max_position_embeddings=fields.whole(
                config, "max_position_embeddings", 32768
            ),
            rms_norm_eps=fields.number(config, "rms_norm_eps", 1e-6, high=1.0),
            rope_theta=_rope_theta(config),
            tie_word_embeddings=fields.flag(config, "tie_word_embeddings", False),
        )
        kinds = ["full_attention"] * built.num_hidden_layers
        if config.get("layer_types", kinds) not in (None, kinds):
            raise fields.ConfigError(
                f"config.json: layer_types must be 'full_attention' for each of "
                f"{built.num_hidden_layers} layers: no other is implemented"
            )
        if heads % built.num_key_value_heads:
            raise fields.ConfigError(
                f"config.json: {heads} query heads cannot share "
                f"{built.num_key_value_heads} key heads evenly"
            )
        if built.head_dim % 2:
            raise fields.ConfigError("config.json: rotary heads need an even head_dim")
        return built


def _rope_theta(config):
    """`rope_theta` stands alone in older files, in `rope_parameters` in newer ones."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if not isinstance(rope, Mapping):
        raise fields.ConfigError("config.json: rope_parameters must be an object")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise fields.ConfigError(
            f"config.json: rope_type is {kind!r:.40}, but only 'default' is implemented"
        )
    return fields.number(rope if "rope_theta" in rope else config, "rope_theta", 1e4)


def expected_shapes(config: Qwen2Config) -> dict[str, tuple[int, ...]]:
    """Every tensor of the decoder by name, without the head: what loading checks."""
    hidden, ffn = config.hidden_size, config.intermediate_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    layer = {
        "input_layernorm.weight": (hidden,),
        "self_attn.q_proj.weight": (queries, hidden),
        "self_attn.q_proj.bias": (queries,),
        "self_attn.k_proj.weight": (keys, hidden),
        "self_attn.k_proj.bias": (keys,),
        "self_attn.v_proj.weight": (keys, hidden),
        "self_attn.v_proj.bias": (keys,),
        "self_attn.o_proj.weight": (hidden, queries),
        "post_attention_layernorm.weight": (hidden,),
        "mlp.gate_proj.weight": (ffn, hidden),
        "mlp.up_proj.weight": (ffn, hidden),
        "mlp.down_proj.weight": (hidden, ffn),
    }
    return {
        "embed_tokens.weight": (config.vocab_size, hidden),
        **{
            f"layers.{i}.{name}": shape
            for i in range(config.num_hidden_layers)
            for name, shape in layer.items()
        },
        "norm.weight": (hidden,),
    }


def new_cache(config: Qwen2Config, batch: int, capacity: int, dtype=np.float32):
    """An empty cache for `capacity` tokens; more than the context is refused."""
    check_context(config, capacity)
    return KVCache(
        config.num_hidden_layers,
        batch,
        config.num_key_value_heads,
        capacity,
        config.head_dim,
        dtype,
    )


def check_context(config: Qwen2Config, tokens: int) -> None:
    """Refuse more tokens than the positions that the model has learnt."""
    if tokens > config.max_position_embeddings:
        raise ContextError(
            f"{tokens} tokens (prompt, picture and answer) exceed this model's "
            f"context of {config.max_position_embeddings}: shorten the prompt, or ask "
            "for fewer new tokens"
        )


class Packing(NamedTuple):
    """Several texts side by side in one row, none of which may see the others.

    The position of each token in its own text (b, t), and whom it sees (b, t, t),
    booleans.
    """

    positions: np.ndarray
    sees: np.ndarray


@shapes(embeddings="b t h", attention_mask="b k of anything", returns="b n h")
def qwen2(
    embeddings: np.ndarray,
    weights: Weights,
    config: Qwen2Config,
    attention_mask: np.ndarray | None = None,
    cache: KVCache | None = None,
    packing: Packing | None = None,
    watch: list[np.ndarray] | None = None,
    last: int | None = None,
):
    """Token embeddings to final hidden states: the layers, then the last norm.

    embeddings (batch, tokens, hidden). attention_mask (batch, all tokens so far) is
    True where a token counts and False where it pads. With a cache, the tokens
    continue what it holds. `packing` stands in place of both, in training. Into
    `watch` goes what each layer attended to, (batch, heads, tokens, all tokens). Who
    asks for the `last` tokens only spares the others what nobody reads after the last
    attention: its feed-forward network. There are 1 to all of them.
    """
    tokens = embeddings.shape[1]
    if last is not None:
        check_whole("qwen2", least=1, last=last)
        if last > tokens:
            raise ValueError(f"qwen2: of {tokens} tokens there are no last {last}")
    if packing is None:
        past = 0 if cache is None else cache.length
        positions = np.arange(past, past + tokens)
        mask = _mask(tokens, past, attention_mask)
    else:
        positions, mask = packing.positions[:, None], packing.sees[:, None]
    rotary = ops.rotary_angles(
        positions, config.head_dim, config.rope_theta, embeddings.dtype
    )
    hidden = embeddings
    for i in range(config.num_hidden_layers):
        layer = weights.scope(f"layers.{i}")
        keep = None if cache is None else (cache, i)
        few = last if i == config.num_hidden_layers - 1 else None
        hidden = decoder_layer(hidden, layer, config, rotary, mask, keep, watch, few)
    if cache is not None:
        cache.advance(tokens)
    return ops.rms_norm(
        hidden, (config.hidden_size,), weights["norm.weight"], config.rms_norm_eps
    )


def decoder_layer(
    hidden, weights, config, rotary, mask, keep=None, watch=None, last=None
):
    """Pre-norm: x + GQA(RMSNorm(x)), and of that, x + SwiGLU(RMSNorm(x)).

    Tokens meet in the attention only: the `last` ones can go on without the others.
    """
    normed = _norm(hidden, weights.scope("input_layernorm"), config)
    hidden = hidden + self_attention(
        normed, weights.scope("self_attn"), config, rotary, mask, keep, watch
    )
    if last is not None:
        hidden = hidden[:, -last:]
    normed = _norm(hidden, weights.scope("post_attention_layernorm"), config)
    return hidden + swiglu(normed, weights.scope("mlp"))


def _norm(hidden, weights, config):
    return ops.rms_norm(
        hidden, (config.hidden_size,), weights["weight"], config.rms_norm_eps
    )


def self_attention(hidden, weights, config, rotary, mask, keep=None, watch=None):
    """Grouped-query attention: many query heads share few key and value heads.

    `mask` is None where plain causality suffices, else what each query may see;
    `keep` is (cache, layer), where there is a cache; `watch` collects the weights.
    """
    batch, tokens, _ = hidden.shape

    def heads(name):
        projected = _linear(hidden, weights.scope(name))
        return projected.reshape(batch, tokens, -1, config.head_dim).swapaxes(1, 2)

    queries = ops.apply_rotary(heads("q_proj"), *rotary)
    keys, values = ops.apply_rotary(heads("k_proj"), *rotary), heads("v_proj")
    if keep is not None:
        cache, layer = keep
        keys, values = cache.store(layer, keys, values)
    sight = {"attn_mask": mask, "is_causal": mask is None, "enable_gqa": True}
    if watch is not None:
        watch.append(ops.attention_weights(queries, keys, **sight))
    attended = ops.scaled_dot_product_attention(queries, keys, values, **sight)
    merged = attended.swapaxes(1, 2).reshape(batch, tokens, -1)
    return _linear(merged, weights.scope("o_proj"))


def swiglu(hidden, weights):
    r"""A gated feed-forward: $W_{down}(\mathrm{SiLU}(W_{gate}x) \odot W_{up}x)$."""
    gate, up = weights["gate_proj.weight"], weights["up_proj.weight"]
    gated = ops.gated_linear(hidden, gate, up)
    return ops.linear(gated, weights["down_proj.weight"])


def _linear(x, weights):
    return ops.linear(x, weights["weight"], weights.get("bias"))


def _mask(tokens, past, attention_mask):
    """Who may see whom: None for plain causality, else booleans (b or 1, 1, t, k)."""
    padded = attention_mask is not None and not np.all(attention_mask)
    if past == 0 and not padded:
        return None
    mask = ops.causal_mask(tokens, past + tokens, offset=past)[None, None]
    if padded:
        mask = mask & attention_mask.astype(bool)[:, None, None, :]
    return mask
