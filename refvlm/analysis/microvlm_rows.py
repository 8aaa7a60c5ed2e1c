r"""What a MicroVLM costs: a tower, an adapter, a decoder, and a memory between them.

Written are the n codes of one picture into K slots of C numbers, all at once:

    addresses   z M_0^+          the prior's is an identity: it is read off, for nothing
    reach       w S              2 n K^2, and once more where S is changed
    surprise    z - w M          2 n K C, and once more where M is changed
    read        w M              2 K C; with a ridge, M M' and K equations before it

Neither grows with what was written before. Oracle: torch.utils.flop_counter for the
adapter; for the rest the formula, by hand.
"""

from __future__ import annotations

from ..models import microvlm
from ..models.microvlm_config import MicroVLMConfig
from ..models.vit_config import ViTConfig
from .decoder_rows import decoder_rows
from .llava_rows import tower_rows
from .rows import Row, size_of
from .vision_rows import Described, vit_rows


def microvlm_rows(
    config: MicroVLMConfig, height: int, width: int, prompt_tokens: int
) -> list[Row]:
    """The rows of a MicroVLM that writes one picture, and is asked with one before its
    eyes: from pixels to logits, the memory's part between prefix and decoder."""
    _, tokens = microvlm.image_grid(config, height, width)
    memory, text = config.memory, config.text
    hidden, slots, codes = text.hidden_size, memory.slots, memory.width
    shapes = microvlm.expected_shapes(config, text.tie_word_embeddings)

    def numbers(part):
        return size_of(s for n, s in shapes.items() if n.startswith(f"{part}."))

    def products(part):
        """2 FLOPs for each number of each matrix of a part, once."""
        own = [s for n, s in shapes.items() if n.startswith(f"{part}.")]
        return 2 * size_of(s for s in own if len(s) == 2)

    order = f"{microvlm.MEMORY}.lstm_z"
    slot = f"{microvlm.MEMORY}.W_M"
    own = numbers(microvlm.MEMORY) - numbers(order) - numbers(slot)
    asks = text.num_hidden_layers, 1, memory.heads, 1, text.head_dim
    return [
        *_tower(config, height, width),
        Row(
            "adapter",
            (1, tokens, hidden),
            numbers(microvlm.ADAPTER),
            adapter_flops(config),
        ),
        Row("alignment, to learn", (1, hidden), numbers(microvlm.ALIGNMENT), 0),
        Row("order of contexts", (1, 1, codes), numbers(order), products(order)),
        *[Row("codes and cues", (1, memory.written, codes), own, _coded(config))][:own],
        Row("memory, mean", (1, slots, codes), 0, 4 * memory.written * slots * codes),
        Row("covariance", (1, slots, slots), 0, 4 * memory.written * slots**2),
        Row("read", (1, 1, codes), 0, read_flops(config)),
        Row("slots: keys, values", asks, numbers(slot), products(slot)),
        Row("gate", (1, 1), numbers(microvlm.SCOPE), products(microvlm.SCOPE)),
        *decoder_rows(text, tokens + prompt_tokens, past=1),
    ]


def _tower(config, height, width):
    vision = config.vision
    if isinstance(vision, ViTConfig):
        return vit_rows(Described(vision, 0, 0), height, width)
    pixels = Row("pixels", (1, 3, height, width), 0, 0)
    return [pixels, *tower_rows(vision, vision.num_hidden_layers)]


def adapter_flops(config: MicroVLMConfig) -> int:
    """Each patch through a projection and an MLP, then pooled by the queries.

    >>> round(adapter_flops(MicroVLMConfig()) / 1e9, 2)
    2.05
    """
    adapter, patches = config.adapter, config.vision.patches
    width, hidden = config.vision.hidden_size, config.text.hidden_size
    apiece = 2 * hidden * (width + 2 * adapter.inner)
    pooled = 4 * adapter.tokens * patches * hidden
    if adapter.heads:
        pooled += 4 * hidden**2 * (patches + adapter.tokens)
    return patches * apiece + pooled


def read_flops(config: MicroVLMConfig) -> int:
    """One question: $w M$, and with a ridge the address $M z$, $M M^\\top$ and the
    solution of K equations before it, $2K^3/3$."""
    memory = config.memory
    slots, codes = memory.slots, memory.width
    found = 2 * slots * codes
    if memory.ridge is None:
        return found
    return 2 * found + 2 * slots**2 * codes + 2 * slots**3 // 3


def _coded(config):
    """Codes of one picture and the cue of one question, a matrix each."""
    memory = config.memory
    return 2 * (memory.written + 1) * memory.width * config.text.hidden_size
