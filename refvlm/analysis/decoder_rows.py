"""What a decoder costs that reads a prompt, or one token more, stage by stage."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..models import qwen2
from .rows import Row


def decoder_rows(
    config: qwen2.Qwen2Config,
    tokens: int,
    past: int = 0,
    shapes: Callable = qwen2.expected_shapes,
) -> list[Row]:
    """The rows of a Qwen2 that reads `tokens` at once and predicts one.

    `past` tokens came before them and are in the cache: with tokens=1, this is what
    one more token of the answer costs. `shapes(config)` are its tensors: a LLaMA has
    no biases.
    """
    hidden = (1, tokens, config.hidden_size)
    sizes = {n: math.prod(s) for n, s in shapes(config).items()}
    layer = [n for n in sizes if n.startswith("layers.0.")]
    per_layer = sum(sizes[name] for name in layer)
    products = sum(sizes[name] for name in layer if "proj.weight" in name)
    # Scores and averages: every query with every key that causality lets it see.
    pairs = tokens * past + tokens * (tokens + 1) // 2
    attention = 2 * 2 * pairs * config.num_attention_heads * config.head_dim
    head = config.vocab_size * config.hidden_size
    count = config.num_hidden_layers
    return [
        Row("embed_tokens", hidden, head, 0),
        Row(
            f"layers.0-{count - 1}",
            hidden,
            count * per_layer,
            count * (2 * tokens * products + attention),
        ),
        Row("norm", hidden, config.hidden_size, 0),
        Row(
            "lm_head, tied" if config.tie_word_embeddings else "lm_head",
            (1, 1, config.vocab_size),
            0 if config.tie_word_embeddings else head,
            2 * head,
        ),
    ]
