"""What a LLaVA costs: CLIP's tower as far as it is run, the connector, the decoder."""

from __future__ import annotations

import math

from ..models import clip, llava
from ..models.clip import blocks_before
from ..models.decoders import DECODERS
from ..models.llava_connectors import connector_of
from .decoder_rows import decoder_rows
from .rows import Row


def llava_rows(config, height: int, width: int, prompt_tokens: int) -> list[Row]:
    """The rows of a LLaVA for one picture and a prompt, from tower to logits."""
    rows, columns = llava.image_grid(config, height, width)
    tokens, vision = rows * columns, config.vision
    deepest = max(
        blocks_before("shapes", layer, vision.num_hidden_layers)
        for layer in config.feature_layers
    )
    joint = sum(map(math.prod, llava.connector_shapes(config).values()))
    shape, decoder = (1, tokens, config.text.hidden_size), DECODERS[config.decoder]
    return [
        Row("pixels", (1, 3, height, width), 0, 0),
        *tower_rows(vision, deepest),
        Row(
            f"{config.connector} connector",
            shape,
            joint,
            connector_of(config).flops(config),
        ),
        *decoder_rows(config.text, tokens + prompt_tokens, shapes=decoder.shapes),
    ]


def tower_rows(vision, blocks: int) -> list[Row]:
    """The rows of CLIP's tower that looks, of which the first `blocks` are run."""
    sizes = {name: math.prod(s) for name, s in clip.vision_shapes(vision).items()}
    first = sum(size for name, size in sizes.items() if name.startswith("embeddings."))
    stack = sum(size for name, size in sizes.items() if name.startswith("encoder."))
    tokens, features = vision.patches + 1, vision.hidden_size
    block = 8 * tokens * features**2 + 4 * tokens**2 * features
    block += 4 * tokens * features * vision.intermediate_size
    patches = 2 * vision.patches * 3 * vision.patch_size**2 * features
    shape, norms = (1, tokens, features), sum(sizes.values()) - first - stack
    return [
        Row("patches and places", shape, first, patches),
        Row(f"blocks, {blocks} run", shape, stack, blocks * block),
        Row("norms of the tower", shape, norms, 0),
    ]
