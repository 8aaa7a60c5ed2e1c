r"""LLaMA, and Vicuna, which is LLaMA taught to converse.

    hidden = E[ids]
    hidden = hidden + MHA(RMSNorm(hidden))      \  32 times
    hidden = hidden + SwiGLU(RMSNorm(hidden))   /
    logits = RMSNorm(hidden) @ head.T

Qwen2 was made after it: the layers are `qwen2.decoder_layer`, which adds a bias only
where the weights have one. Small LLaMAs have as many key heads as query heads, larger
ones fewer. Names of weights are those of the published checkpoints, under `model.`.
Sources: [Foundations] LLaVA, [Cortes] 2.3. Oracle: transformers.LlamaForCausalLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..blocks.kv_cache import KVCache
from ..checkpoint import Weights
from ..shapes import shapes
from . import fields, qwen2
from .causal import Packing, check_last


@dataclass(frozen=True)
class LlamaConfig(qwen2.Qwen2Config):
    """The numbers that make one LLaMA another: Qwen2's, by default those of LLaMA-7B.

    `attention_bias` gives all four projections of the attention a bias.
    """

    vocab_size: int = 32000
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_hidden_layers: int = 32
    num_attention_heads: int = 32
    num_key_value_heads: int = 32
    head_dim: int = 128
    max_position_embeddings: int = 2048
    rms_norm_eps: float = 1e-6
    rope_theta: float = 1e4
    tie_word_embeddings: bool = False
    attention_bias: bool = False

    @classmethod
    def from_json(cls, config: Mapping) -> LlamaConfig:
        """From the parsed config.json of a LLaMA, strictly."""
        fields.only(config, "mlp_bias", False, default=False)
        bias = fields.flag(config, "attention_bias", False)
        numbers = qwen2.read_numbers(config, 32000, 11008, 2048)
        return cls(**numbers, attention_bias=bias)


def expected_shapes(config: LlamaConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the decoder by name, without the head: what loading checks."""
    return qwen2.expected_shapes(config, "qkvo" if config.attention_bias else "")


new_cache, check_context = qwen2.new_cache, qwen2.check_context


@shapes(embeddings="b t h", attention_mask="b k of anything", returns="b n h")
def llama(
    embeddings: np.ndarray,
    weights: Weights,
    config: LlamaConfig,
    attention_mask: np.ndarray | None = None,
    cache: KVCache | None = None,
    packing: Packing | None = None,
    watch: list[np.ndarray] | None = None,
    last: int | None = None,
):
    """Token embeddings (b, t, h) to final hidden states (b, n, h).

    The arguments are those of `qwen2.qwen2`.
    """
    check_last("llama", last, embeddings.shape[1])
    return qwen2.qwen2(
        embeddings, weights, config, attention_mask, cache, packing, watch, last
    )
