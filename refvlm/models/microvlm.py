r"""MicroVLM-V: DeiT looks, an adapter makes a prefix, Qwen2 speaks - and remembers.

    pixels (b, 3, 224, 224) --DeiT--> class token (b, c), patches (b, 196, c)
        patches --adapter--> prefix (b, 25, h)              class token --> alignment
    ids --embedding--> text (b, t, h)
    [prefix; text] = fused (b, 25 + t, h)
        --mean--> contexts (b, h) --LSTM--> codes --written--> memory (K, C), (K, K)
        memory --read--> (b, C) --W_M--> a slot for each layer, (b, heads, d) twice
        contexts --scope--> gate (b, 1)
    fused, behind the slot as far as the gate is open --Qwen2--> logits

So the source draws it, and so is the wiring "contexts": a memory is asked before the
decoder reads. In the wiring "tokens", which can be learnt, it is asked in between:

    tokens of past pictures --codes--> written --> memory
    prompt --Qwen2--> h of its last word --cue--> read --W_M--> slot, behind its gate
    answer, behind slot and prompt --Qwen2--> logits

That is `microvlm_answer`. The steps of the memory are in `microvlm_memory`. The source
computes the slot and drops it; here every layer's attention finds it in front of the
text. Names of weights are those of the source's program, DeiT's and Qwen2's within
theirs.

Source: [MicroVLM-V] 1 to 5. Oracle: the same composition in torch, of
transformers.ViTModel and Qwen2Model, torch.nn.MultiheadAttention and torch.nn.LSTM.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import ops
from ..blocks import tables
from ..blocks.alignment import image_projection, image_projection_shapes
from ..blocks.episodic_memory.scope import scope_shapes
from ..blocks.fusion.prefix import Fused, pooled_context, prefix_fusion
from ..blocks.kv_cache import TapedCache
from ..blocks.prefix_adapter import prefix_adapter, prefix_adapter_shapes
from ..checkpoint import Weights
from ..shapes import ShapeError, shapes
from . import microvlm_memory
from .decoders import DECODERS, Decoder
from .microvlm_config import MicroVLMConfig

TOWER = "vision_encoder"
ADAPTER = "multimodal_adapter"
DECODER = "language_model.model"
EMBEDDING = f"{DECODER}.embed_tokens.weight"
MEMORY, SCOPE = microvlm_memory.MEMORY, microvlm_memory.SCOPE
ALIGNMENT = "image_proj_for_alignment"

SPEAKER: Decoder = DECODERS["qwen2"]._replace(
    scope=DECODER, embedding=EMBEDDING, head="language_model.lm_head.weight"
)


def expected_shapes(config: MicroVLMConfig, tied: bool) -> dict[str, tuple[int, ...]]:
    """Every tensor by name; a tied head is the embedding and has none of its own."""
    width, hidden = config.vision.hidden_size, config.text.hidden_size
    adapter = config.adapter
    parts = {
        TOWER: config.tower.shapes(config.vision),
        ADAPTER: prefix_adapter_shapes(
            width, hidden, adapter.inner, adapter.tokens, adapter.heads or None
        ),
        MEMORY: microvlm_memory.expected_shapes(config),
        SCOPE: scope_shapes(hidden, config.scope_width),
        ALIGNMENT: image_projection_shapes(width, hidden),
    }
    return {
        **{f"{part}.{n}": shape for part in parts for n, shape in parts[part].items()},
        **SPEAKER.expected_shapes(config.text, tied),
    }


def image_grid(config: MicroVLMConfig, height: int, width: int) -> tuple[int, int]:
    """A picture's tokens as rows and columns: a row of queries, that are no places. It
    has to be of the tower's size."""
    side = config.vision.image_size
    if (height, width) != (side, side):
        raise ShapeError(
            f"microvlm: a picture of {width} x {height} pixels, but this tower has "
            f"positions for {side} x {side}: the preprocessor beside the weights makes "
            "that size"
        )
    return 1, config.adapter.tokens


@shapes(pixel_values="b 3 h w")
def see(pixel_values, weights: Weights, config: MicroVLMConfig):
    """Pictures to what stands for each, (b, c), and for its patches, (b, p, c)."""
    tokens = config.tower.look(pixel_values, weights.scope(TOWER), config.vision)
    return tokens[:, 0], tokens[:, -config.vision.patches :]


def prefix(patches, weights: Weights, config: MicroVLMConfig):
    """From what the tower sees to what the decoder reads: (b, p, c) -> (b, m, h)."""
    heads = config.adapter.heads or None
    return prefix_adapter(patches, weights.scope(ADAPTER), heads)


def encode_image(
    pixel_values,
    weights: Weights,
    config: MicroVLMConfig,
    progress: Callable[[int, int], None] | None = None,
):
    """Pictures to tokens of the decoder: (n, 3, s, s) -> (n, m, hidden)."""
    _, patches = see(pixel_values, weights, config)
    if progress is not None:
        progress(1, 1)
    return prefix(patches, weights, config)


def aligned(image, text, weights: Weights):
    r"""Class tokens (b, c) and mean text embeddings (b, h) as directions of one space,
    which the alignment loss compares: $W f_{image} + b$ and $f_{text}$, of length 1."""
    projected = image_projection(image, weights.scope(ALIGNMENT))
    return ops.normalize(projected), ops.normalize(text)


def fused(seen, input_ids, weights: Weights, attention_mask=None) -> Fused:
    r"""$[\mathrm{prefix}; \mathrm{text}]$ and its mask $[1; \mathrm{mask}]$: (b, m + t,
    h) and (b, m + t)."""
    text = tables.look_up(input_ids, weights, EMBEDDING)
    if attention_mask is None:
        attention_mask = np.ones(input_ids.shape, bool)
    return prefix_fusion(seen, text, attention_mask)


def microvlm(
    pixel_values,
    input_ids: np.ndarray,
    weights: Weights,
    config: MicroVLMConfig,
    episodes: int,
    attention_mask: np.ndarray | None = None,
):
    """Pictures and texts to logits (b, m + t, vocabulary), as the source draws it.

    The b pairs are those of so many episodes, one after the other. Each episode is
    written into a memory of its own, each pair asks it by its own context, and what it
    gets stands before all of its tokens. A config of the other wiring is refused.
    """
    instead = "models.microvlm_answer.microvlm_answer, or refvlm.load(folder).ask"
    microvlm_memory.check_asks("microvlm", config, ahead=True, instead=instead)
    seen = encode_image(pixel_values, weights, config)
    read = fused(seen, input_ids, weights, attention_mask)
    cache = TapedCache()
    cache.slots = microvlm_memory.remembered(
        pooled_context(read), weights, config, episodes
    )
    embeddings, mask, _ = read
    hidden = SPEAKER.forward(
        embeddings, weights.scope(DECODER), config.text, mask, cache
    )
    return SPEAKER.logits(hidden, weights)
