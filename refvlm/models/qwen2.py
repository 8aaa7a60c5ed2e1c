r"""Qwen2: the decoder that reads the picture and writes the answer.

    hidden = E[ids]
    hidden = hidden + GQA(RMSNorm(hidden))      \  24 times
    hidden = hidden + SwiGLU(RMSNorm(hidden))   /
    logits = RMSNorm(hidden) @ head.T

Names of weights are those of the published checkpoints, under `model.` in Qwen2's own
files. LLaMA (llama.py) is the same function of weights that have no biases.
Sources: [MicroVLM-V] 3, [Kamath] LLM. Oracle: transformers.Qwen2ForCausalLM.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import ops
from ..blocks.kv_cache import KVCache
from ..checkpoint import Weights
from ..shapes import shapes
from . import fields, rope
from .causal import Packing, check_context, check_last, places


@dataclass(frozen=True)
class Qwen2Config:
    """The numbers that make one Qwen2 another; field names are those of config.json.

    By default those of Qwen2-0.5B. What a config.json leaves out is another matter: it
    means transformers' defaults, which are nearer to the 7B's.
    """

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
    rope_scaling: rope.Scaling | None = None

    @classmethod
    def from_json(cls, config: Mapping) -> Qwen2Config:
        """From the parsed config.json of a Qwen2, strictly."""
        fields.only(config, "use_sliding_window", False, default=False)
        built = cls(**read_numbers(config, 151936, 22016, 32768))
        kinds = ["full_attention"] * built.num_hidden_layers
        if config.get("layer_types", kinds) not in (None, kinds):
            raise fields.ConfigError(
                f"config.json: layer_types must be 'full_attention' for each of "
                f"{built.num_hidden_layers} layers: no other is implemented"
            )
        return built

    @property
    def context(self) -> int:
        """How many tokens there are positions for."""
        return rope.reach(self.max_position_embeddings, self.rope_scaling)


def read_numbers(
    config: Mapping, vocab_size: int, intermediate_size: int, context: int
) -> dict[str, Any]:
    """What Qwen2 and LLaMA have in common, by name; where a file leaves out a size, it
    means the one given here."""
    fields.only(config, "hidden_act", "silu", default="silu")
    config = {
        name: value
        for name, value in config.items()
        if value is not None or name not in ("num_key_value_heads", "head_dim")
    }
    heads = fields.whole(config, "num_attention_heads", 32, high=1024)
    groups = fields.whole(config, "num_key_value_heads", heads)
    hidden = fields.whole(config, "hidden_size", 4096, high=1 << 16)
    if heads % groups:
        raise fields.ConfigError(
            f"config.json: {heads} query heads cannot share {groups} key heads evenly"
        )
    if "head_dim" not in config and hidden % heads:
        raise fields.ConfigError(
            f"config.json: hidden_size {hidden} does not split into {heads} heads"
        )
    head_dim = fields.whole(config, "head_dim", hidden // heads, high=4096)
    if head_dim % 2:
        raise fields.ConfigError("config.json: rotary heads need an even head_dim")
    context = fields.whole(config, "max_position_embeddings", context)
    theta, scaling = rope.read(config, context)
    if isinstance(scaling, rope.Dynamic) and head_dim < 4:
        raise fields.ConfigError(
            "config.json: rope_type 'dynamic' needs a head_dim of at least 4"
        )
    return {
        "vocab_size": fields.whole(config, "vocab_size", vocab_size),
        "hidden_size": hidden,
        "intermediate_size": fields.whole(
            config, "intermediate_size", intermediate_size
        ),
        "num_hidden_layers": fields.whole(config, "num_hidden_layers", 32, high=1024),
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "head_dim": head_dim,
        "max_position_embeddings": context,
        "rms_norm_eps": fields.number(config, "rms_norm_eps", 1e-6, high=1.0),
        "rope_theta": theta,
        "tie_word_embeddings": fields.flag(config, "tie_word_embeddings", False),
        "rope_scaling": scaling,
    }


def expected_shapes(
    config: Qwen2Config, biases: Collection[str] = ("q", "k", "v")
) -> dict[str, tuple[int, ...]]:
    """Every tensor of the decoder by name, without the head: what loading checks.

    Qwen2's projections to queries, keys and values have biases, and no other.
    """
    hidden, ffn = config.hidden_size, config.intermediate_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    attention = {
        "q": (queries, hidden),
        "k": (keys, hidden),
        "v": (keys, hidden),
        "o": (hidden, queries),
    }
    layer: dict[str, tuple[int, ...]] = {"input_layernorm.weight": (hidden,)}
    for name, shape in attention.items():
        layer[f"self_attn.{name}_proj.weight"] = shape
        if name in biases:
            layer[f"self_attn.{name}_proj.bias"] = shape[:1]
    layer |= {
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
    True where a token counts and False where it pads; positions count what does not
    pad. With a cache, the tokens continue what it holds. `packing` stands in place of
    both, in training. Into `watch` goes what each layer attended to, (batch, heads,
    tokens, all tokens). Who asks for the `last` tokens only spares the others what
    nobody reads after the last attention: its feed-forward network. There are 1 to all
    of them.
    """
    tokens = embeddings.shape[1]
    check_last("qwen2", last, tokens)
    positions, mask = places(tokens, cache, attention_mask, packing)
    rotary = rope.angles(positions, config, embeddings.dtype)
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
