r"""GPT-2: the decoder that all others are told from.

    hidden = E[ids] + P[positions]
    hidden = hidden + MHA(LayerNorm(hidden))    \  12 times
    hidden = hidden + MLP(LayerNorm(hidden))    /
    logits = LayerNorm(hidden) @ E.T

Its matrices lie the other way round than everyone else's, (in, out): the code that
trained it wrote $xW$. Names of weights are those of the published checkpoints, under
`transformer.`; the files that were released leave that out (`canonical`).
Sources: [Cortes] 4, 7.1; Radford et al., Language models are unsupervised multitask
learners. Oracle: transformers.GPT2LMHeadModel.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .. import ops
from ..blocks.attention_layers import merge_heads, split_heads
from ..blocks.kv_cache import KVCache
from ..blocks.transformer import layer_norm
from ..checkpoint import Weights
from ..shapes import shapes
from . import fields
from .causal import Packing, check_context, check_last, places


@dataclass(frozen=True)
class GPT2Config:
    """The numbers that make one GPT-2 another; field names are those of config.json."""

    vocab_size: int = 50257
    n_positions: int = 1024
    n_embd: int = 768
    n_layer: int = 12
    n_head: int = 12
    n_inner: int = 3072
    layer_norm_epsilon: float = 1e-5
    tie_word_embeddings: bool = True

    @classmethod
    def from_json(cls, config: Mapping) -> GPT2Config:
        """From the parsed config.json of a GPT-2, strictly."""
        fields.only(
            config,
            "activation_function",
            "gelu_new",
            "gelu_pytorch_tanh",
            default="gelu_new",
        )
        fields.only(config, "scale_attn_weights", True, default=True)
        for name in (
            "scale_attn_by_inverse_layer_idx",
            "reorder_and_upcast_attn",
            "add_cross_attention",
        ):
            fields.only(config, name, False, default=False)
        width = fields.whole(config, "n_embd", 768, high=1 << 16)
        heads = fields.whole(config, "n_head", 12, high=1024)
        if width % heads:
            raise fields.ConfigError(
                f"config.json: n_embd {width} does not split into {heads} heads"
            )
        inner = 4 * width
        if config.get("n_inner") is not None:
            inner = fields.whole(config, "n_inner")
        return cls(
            vocab_size=fields.whole(config, "vocab_size", 50257),
            n_positions=fields.whole(config, "n_positions", 1024),
            n_embd=width,
            n_layer=fields.whole(config, "n_layer", 12, high=1024),
            n_head=heads,
            n_inner=inner,
            layer_norm_epsilon=fields.number(
                config, "layer_norm_epsilon", 1e-5, high=1.0
            ),
            tie_word_embeddings=fields.flag(config, "tie_word_embeddings", True),
        )

    @property
    def context(self) -> int:
        """How many tokens there are positions for: the rows of P."""
        return self.n_positions


def expected_shapes(config: GPT2Config) -> dict[str, tuple[int, ...]]:
    """Every tensor of the decoder by name, without the head: what loading checks."""
    width, inner = config.n_embd, config.n_inner

    def norm(name):
        return {f"{name}.weight": (width,), f"{name}.bias": (width,)}

    def matrix(name, n_in, n_out):
        return {f"{name}.weight": (n_in, n_out), f"{name}.bias": (n_out,)}

    block = {
        **norm("ln_1"),
        **matrix("attn.c_attn", width, 3 * width),
        **matrix("attn.c_proj", width, width),
        **norm("ln_2"),
        **matrix("mlp.c_fc", width, inner),
        **matrix("mlp.c_proj", inner, width),
    }
    return {
        "wte.weight": (config.vocab_size, width),
        "wpe.weight": (config.n_positions, width),
        **{
            f"h.{i}.{name}": shape
            for i in range(config.n_layer)
            for name, shape in block.items()
        },
        **norm("ln_f"),
    }


def canonical(weights: Weights) -> Weights:
    """The weights of a GPT-2 under `transformer.`, whether they came so or without it,
    less the triangles of ones that some files keep beside each attention."""
    return weights.rename(_canonical_name)


def _canonical_name(name):
    if re.fullmatch(r"(transformer\.)?h\.\d+\.attn\.(masked_)?bias", name):
        return None
    return re.sub(r"^(?=(wte|wpe|h|ln_f)\.)", "transformer.", name)


def new_cache(config: GPT2Config, batch: int, capacity: int, dtype=np.float32):
    """An empty cache for `capacity` tokens; more than the context is refused."""
    check_context(config, capacity)
    head_dim = config.n_embd // config.n_head
    return KVCache(config.n_layer, batch, config.n_head, capacity, head_dim, dtype)


@shapes(embeddings="b t h", attention_mask="b k of anything", returns="b n h")
def gpt2(
    embeddings: np.ndarray,
    weights: Weights,
    config: GPT2Config,
    attention_mask: np.ndarray | None = None,
    cache: KVCache | None = None,
    packing: Packing | None = None,
    watch: list[np.ndarray] | None = None,
    last: int | None = None,
):
    """Token embeddings to final hidden states: positions, the blocks, the last norm.

    embeddings (batch, tokens, hidden), before positions are added to them. The other
    arguments are those of `qwen2.qwen2`.
    """
    tokens = embeddings.shape[1]
    check_last("gpt2", last, tokens)
    positions, mask = places(tokens, cache, attention_mask, packing)
    check_context(config, int(positions.max(initial=-1)) + 1)
    hidden = embeddings + ops.embedding(positions, weights["wpe.weight"])
    for i in range(config.n_layer):
        block = weights.scope(f"h.{i}")
        keep = None if cache is None else (cache, i)
        few = last if i == config.n_layer - 1 else None
        hidden = gpt2_block(hidden, block, config, mask, keep, watch, few)
    if cache is not None:
        cache.advance(tokens)
    return layer_norm(hidden, weights.scope("ln_f"), config.layer_norm_epsilon)


def gpt2_block(hidden, weights, config, mask, keep=None, watch=None, last=None):
    """Pre-norm: x + MHA(LayerNorm(x)), and of that, x + MLP(LayerNorm(x)).

    Tokens meet in the attention only: the `last` ones can go on without the others.
    """
    normed = layer_norm(hidden, weights.scope("ln_1"), config.layer_norm_epsilon)
    hidden = hidden + self_attention(
        normed, weights.scope("attn"), config, mask, keep, watch
    )
    if last is not None:
        hidden = hidden[:, -last:]
    normed = layer_norm(hidden, weights.scope("ln_2"), config.layer_norm_epsilon)
    return hidden + mlp(normed, weights.scope("mlp"))


def self_attention(hidden, weights, config, mask, keep=None, watch=None):
    """Multi-head attention whose queries, keys and values leave one matrix together.

    `mask` is None where plain causality suffices, else what each query may see;
    `keep` is (cache, layer), where there is a cache; `watch` collects the weights.
    """
    together = conv1d(hidden, weights.scope("c_attn"))
    width = config.n_embd
    queries, keys, values = (
        split_heads(together[..., start : start + width], config.n_head)
        for start in (0, width, 2 * width)
    )
    if keep is not None:
        cache, layer = keep
        keys, values = cache.store(layer, keys, values)
    sight = {"attn_mask": mask, "is_causal": mask is None}
    if watch is not None:
        watch.append(ops.attention_weights(queries, keys, **sight))
    attended = ops.scaled_dot_product_attention(queries, keys, values, **sight)
    return conv1d(merge_heads(attended), weights.scope("c_proj"))


def mlp(hidden, weights):
    r"""Widen, bend, narrow: $\mathrm{GELU}(x W_1 + b_1)\,W_2 + b_2$, the GELU by its
    tanh."""
    wide = conv1d(hidden, weights.scope("c_fc"))
    return conv1d(ops.gelu(wide, approximate="tanh"), weights.scope("c_proj"))


def conv1d(x, weights):
    """$xW + b$ with W (in, out): GPT-2's code called it a convolution of width 1."""
    return ops.linear(x, weights["weight"].swapaxes(0, 1), weights["bias"])
