r"""A model as a table, without running it: stages, shapes, parameters and FLOPs.

A product of an (m, k) with a (k, n) matrix counts $2mkn$ FLOPs: a multiplication and
an addition for each term. Norms, activations and softmax are left out, as is usual:
they are bound by memory, not by arithmetic.

Source: [Cortes] 10.1. Oracle: torch.utils.flop_counter.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

from .. import checkpoint, image, pretrained
from ..models import fastvithd, fastvlm, fields, qwen2, textbook
from ..models.clip import blocks_before
from ..models.vision_models import spelled
from .joining_costs import crossed_flops
from .rows import Row, as_text
from .vision_rows import Described, vit_rows


def table_of(directory: str | Path, prompt_tokens: int = 32) -> str:
    """The table of the checkpoint in `directory`, or that comes along by that name.

    One picture in the size its preprocessor makes, and a prompt of `prompt_tokens`.
    """
    directory, document = pretrained.opened(directory)
    file = directory / pretrained.CONFIG
    document = dict(fields.built(file, document, spelled))
    build, rows = fields.built(file, document, _kind)
    config = fields.built(file, document, build)
    preprocessor = image.read_preprocessor(directory)
    size = preprocessor.crop_to or preprocessor.resize_to
    if size is None:
        raise checkpoint.CheckpointError(
            f"{directory}: the preprocessor neither crops nor resizes to one size, so "
            "the shapes depend on the picture"
        )
    return as_text(rows(config, *size, prompt_tokens))


def _kind(document):
    return KINDS[fields.only(document, "model_type", *KINDS)]


def fastvlm_rows(config, height: int, width: int, prompt_tokens: int) -> list[Row]:
    """The rows of a FastVLM for one picture and a prompt, from tower to logits."""
    stages = fastvithd.trace_shapes(config.vision, height, width)
    tower = [Row(s.name, (1, *s.shape), s.parameters, s.flops) for s in stages]
    channels, rows, columns = stages[-1].shape
    tokens = rows * columns
    hidden = config.text.hidden_size
    weights = hidden * channels + hidden * hidden
    return [
        Row("pixels", (1, 3, height, width), 0, 0),
        *tower,
        Row(
            "projector", (1, tokens, hidden), weights + 2 * hidden, 2 * tokens * weights
        ),
        *decoder_rows(config.text, tokens + prompt_tokens),
    ]


def decoder_rows(config: qwen2.Qwen2Config, tokens: int, past: int = 0) -> list[Row]:
    """The rows of a Qwen2 that reads `tokens` at once and predicts one.

    `past` tokens came before them and are in the cache: with tokens=1, this is what
    one more token of the answer costs.
    """
    hidden = (1, tokens, config.hidden_size)
    sizes = {n: math.prod(s) for n, s in qwen2.expected_shapes(config).items()}
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


def textbook_rows(config, height: int, width: int, prompt_tokens: int) -> list[Row]:
    """The rows of a textbook model: a tower of blocks, what it shows in the decoder's
    width, the layers that are told of it from the side, and the logits of one token."""
    vision, words = config.vision, config.text
    tied = words.tie_word_embeddings
    sizes = {n: math.prod(s) for n, s in textbook.expected_shapes(config, tied).items()}
    rows, columns = textbook.image_grid(config, height, width)
    seen, hidden, features = rows * columns, words.hidden_size, vision.hidden_size
    tokens, inner = vision.patches + 1, vision.intermediate_size
    blocks = vision.num_hidden_layers
    if config.vision_feature_layer is not None:
        blocks = blocks_before("shapes", config.vision_feature_layer, blocks)
    block = 8 * tokens * features**2 + 4 * tokens**2 * features
    block += 4 * tokens * features * inner
    layers = words.num_hidden_layers
    looking = sum(map(words.looks, range(layers)))
    flops = crossed_flops(
        *(seen, prompt_tokens, hidden, layers, words.intermediate_size), looking
    )

    def held(*beginnings):
        return sum(size for name, size in sizes.items() if name.startswith(beginnings))

    tower = f"{textbook.TOWER}."
    first, stack = held(f"{tower}embeddings."), held(f"{tower}encoder.")
    norms = held(tower) - first - stack
    table = sizes[textbook.EMBEDDING]
    head = held("lm_head.")
    decoder = held(f"{textbook.DECODER}.") - table
    read = 1, prompt_tokens, hidden
    patches = 2 * vision.patches * 3 * vision.patch_size**2 * features
    project = 2 * seen * features * hidden
    return [
        Row("pixels", (1, 3, height, width), 0, 0),
        Row("patches and places", (1, tokens, features), first, patches),
        Row(f"blocks, {blocks} run", (1, tokens, features), stack, blocks * block),
        Row("norms of the tower", (1, tokens, features), norms, 0),
        Row("projection", (1, seen, hidden), held("projection."), project),
        Row("token_embedding", read, table, 0),
        Row(f"layers.0-{layers - 1}, {looking} look", read, decoder, flops),
        Row(
            "lm_head, tied" if tied else "lm_head",
            (1, 1, words.vocab_size),
            head,
            2 * words.vocab_size * hidden,
        ),
    ]


# model_type -> how its configuration is built, and its rows by (configuration, height,
# width, tokens of the prompt).
KINDS: dict[str, tuple[Callable, Callable[..., list[Row]]]] = {
    "fast_vlm": (fastvlm.FastVLMConfig.from_json, fastvlm_rows),
    "llava_qwen2": (fastvlm.FastVLMConfig.from_json, fastvlm_rows),
    "textbook_vlm": (textbook.TextbookConfig.from_json, textbook_rows),
    "vit": (Described.from_json, vit_rows),
    "deit": (Described.from_json, vit_rows),
}
