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
from ..models import (
    blip2,
    fastvithd,
    fastvlm,
    fields,
    llava_config,
    microvlm_config,
    textbook,
)
from ..models.clip import blocks_before
from ..models.vision_models import spelled
from .backbone_rows import DescribedBackbone, convnext_rows, resnet_rows
from .blip2_rows import blip2_rows
from .blip_rows import Pictured, blip_rows
from .decoder_rows import decoder_rows
from .joining_costs import crossed_flops
from .llava_rows import llava_rows, tower_rows
from .microvlm_rows import microvlm_rows
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


def textbook_rows(config, height: int, width: int, prompt_tokens: int) -> list[Row]:
    """The rows of a textbook model: a tower of blocks, what it shows in the decoder's
    width, the layers that are told of it from the side, and the logits of one token."""
    vision, words = config.vision, config.text
    tied = words.tie_word_embeddings
    sizes = {n: math.prod(s) for n, s in textbook.expected_shapes(config, tied).items()}
    rows, columns = textbook.image_grid(config, height, width)
    seen, hidden, features = rows * columns, words.hidden_size, vision.hidden_size
    blocks = vision.num_hidden_layers
    if config.vision_feature_layer is not None:
        blocks = blocks_before("shapes", config.vision_feature_layer, blocks)
    layers = words.num_hidden_layers
    looking = sum(map(words.looks, range(layers)))
    flops = crossed_flops(
        seen, prompt_tokens, hidden, layers, words.intermediate_size, looking
    )

    def held(*beginnings):
        return sum(size for name, size in sizes.items() if name.startswith(beginnings))

    table = sizes[textbook.EMBEDDING]
    head = held("lm_head.")
    decoder = held(f"{textbook.DECODER}.") - table
    read = 1, prompt_tokens, hidden
    project = 2 * seen * features * hidden
    return [
        Row("pixels", (1, 3, height, width), 0, 0),
        *tower_rows(vision, blocks),
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
    **dict.fromkeys(
        llava_config.MODEL_TYPES, (llava_config.LlavaConfig.from_json, llava_rows)
    ),
    "textbook_vlm": (textbook.TextbookConfig.from_json, textbook_rows),
    "blip": (Pictured.from_json, blip_rows),
    "blip-2": (blip2.Blip2Config.from_json, blip2_rows),
    microvlm_config.MODEL_TYPE: (
        microvlm_config.MicroVLMConfig.from_json,
        microvlm_rows,
    ),
    "vit": (Described.from_json, vit_rows),
    "deit": (Described.from_json, vit_rows),
    "resnet": (DescribedBackbone.from_json, resnet_rows),
    "convnext": (DescribedBackbone.from_json, convnext_rows),
}
