r"""BLIP as a table, without running it: stages, shapes, parameters and FLOPs.

The picture is looked at once, and so are its keys and values made: what a word costs
after that does not hold the tower. Products count as in `rows`. Oracle:
torch.utils.flop_counter.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from ..models import blip
from ..models.blip_config import BlipConfig, BlipTextConfig, BlipVisionConfig
from ..models.blip_tower import tower_shapes
from .rows import Row


class Pictured(NamedTuple):
    """A BLIP, and whether it writes captions or judges them."""

    config: BlipConfig
    writes: bool

    @classmethod
    def from_json(cls, document: Mapping) -> Pictured:
        """From a config.json, whose `architectures` says which it is."""
        judges = document.get("architectures") == ["BlipForImageTextRetrieval"]
        return cls(BlipConfig.from_json(document), not judges)


def blip_rows(pictured: Pictured, height: int, width: int, words: int) -> list[Row]:
    """The rows of a BLIP for one picture and a text of `words` tokens, up to the scores
    of the next word, or to the judgement."""
    config, writes = pictured
    blip.image_grid(config, height, width)
    vision, text = config.vision, config.text
    expected = blip.captioning_shapes if writes else blip.matching_shapes
    sizes = {name: math.prod(shape) for name, shape in expected(config).items()}

    def held(part):
        return sum(size for name, size in sizes.items() if part in name)

    seen, features = vision.tokens, vision.hidden_size
    table, layers = held("word_embeddings"), text.num_hidden_layers
    tower = held("vision_model.")
    known = held("crossattention.self.key") + held("crossattention.self.value")
    heads = held("cls.predictions.") if writes else held("itm_head")
    others = 0 if writes else held("_proj.")
    read = 1, words, text.hidden_size
    head = 2 * text.hidden_size * (text.hidden_size + text.vocab_size)
    if not writes:
        head = 2 * text.hidden_size * 2
    return [
        Row("pixels", (1, 3, height, width), 0, 0),
        *tower_rows(vision),
        Row(
            "keys and values of the picture",
            (1, 2 * layers, seen, text.hidden_size),
            known,
            layers * 4 * seen * features * text.hidden_size,
        ),
        Row("word_embeddings", read, table, 0),
        Row(
            f"layers.0-{layers - 1}, all look",
            read,
            sum(sizes.values()) - tower - known - table - heads - others,
            layers * looking_layer(text, words, seen, causal=writes),
        ),
        Row(
            "head, tied" if writes else "itm_head",
            (1, 1, text.vocab_size) if writes else (1, 2),
            heads,
            head,
        ),
        *([] if writes else [Row("projections, to compare", (1, 2), others, 0)]),
    ]


def looking_layer(
    text: BlipTextConfig, words: int, seen: int, past: int = 0, causal: bool = True
) -> int:
    """FLOPs of one layer for `words` new tokens that look at `seen` of a picture, whose
    keys are there, after `past` others.

    >>> config = BlipTextConfig(hidden_size=768, intermediate_size=3072)
    >>> looking_layer(config, 1, 577, past=9)
    18318336
    """
    width = text.hidden_size
    pairs = words * (past + words)
    if causal:
        pairs = words * past + words * (words + 1) // 2
    reads = 2 * words * 4 * width**2 + 4 * pairs * width
    looks = 2 * words * 2 * width**2 + 4 * words * seen * width
    return reads + looks + 4 * words * width * text.intermediate_size


def tower_rows(vision: BlipVisionConfig) -> list[Row]:
    """The rows of BLIP's tower, and of BLIP-2's: the patches, then the blocks."""
    sizes = {name: math.prod(shape) for name, shape in tower_shapes(vision).items()}
    first = sum(size for name, size in sizes.items() if name.startswith("embeddings."))
    tokens, width, blocks = vision.tokens, vision.hidden_size, vision.num_hidden_layers
    patches = 2 * (tokens - 1) * 3 * vision.patch_size**2 * width
    block = 8 * tokens * width**2 + 4 * tokens**2 * width
    block += 4 * tokens * width * vision.intermediate_size
    shape, rest = (1, tokens, width), sum(sizes.values()) - first
    return [
        Row("patches and places", shape, first, patches),
        Row(f"tower.0-{blocks - 1}", shape, rest, blocks * block),
    ]
