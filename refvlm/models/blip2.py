r"""BLIP-2: a frozen tower looks, the Q-Former asks, a frozen decoder speaks.

    pixels --tower--> z (b, 1 + patches, d_v) --Q-Former--> (b, 32, d_q)
        --language_projection--> tokens of the decoder (b, 32, hidden)
    ids --embedding--> text tokens --splice the 32 in--> decoder --> logits

Between two models that stay as they are, the queries and what they pass through are all
that learns. The decoder is a LLaMA or a Qwen2: OPT and T5, with which BLIP-2 was
published, are not here. Names of weights are those of Hugging Face.
Sources: [Foundations] projection strategies; [Li2023]. Oracle:
transformers.Blip2ForConditionalGeneration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..blocks.transformer import linear
from ..checkpoint import Weights
from . import fields
from . import qformer as queries
from .blip_config import BlipVisionConfig
from .blip_tower import blip_tower, check_size, tower_shapes
from .decoders import DECODERS, Decoder
from .splicing import make_room, splice

VISION, PROJECTION, LANGUAGE = "vision_model", "language_projection", "language_model"
SPEAKERS = ("llama", "qwen2")
PUBLISHED = {  # what silence means: EVA's ViT-g
    "hidden_size": 1408,
    "intermediate_size": 6144,
    "num_hidden_layers": 39,
    "num_attention_heads": 16,
    "image_size": 224,
    "patch_size": 14,
    "layer_norm_eps": 1e-6,
}


@dataclass(frozen=True)
class Blip2Config:
    """A tower, a Q-Former, a decoder by name and its numbers, and the id that stands
    for one of the picture's tokens in a text."""

    vision: BlipVisionConfig
    qformer: queries.QFormerConfig
    text: Any
    decoder: str
    image_token_id: int

    @classmethod
    def from_json(cls, config: Mapping) -> Blip2Config:
        """From the parsed config.json of a BLIP-2, strictly."""
        fields.only(config, "model_type", "blip-2", default="blip-2")
        fields.only(config, "use_decoder_only_language_model", True, default=True)
        section = dict(fields.section(config, "text_config"))
        kind = section.get("model_type")
        if kind not in SPEAKERS:
            raise fields.ConfigError(
                f"config.json: the text_config's model_type is {kind!r:.60}, but only "
                f"{' or '.join(map(repr, SPEAKERS))} speaks here: the tower and the "
                "Q-Former of this BLIP-2 run by models.blip_tower and models.qformer"
            )
        vision = BlipVisionConfig.from_json(
            fields.section(config, "vision_config"), "blip_2_vision_model", **PUBLISHED
        )
        count = fields.whole(config, "num_query_tokens", 32, high=1 << 12)
        asks = dict(fields.section(config, "qformer_config"))
        asks["encoder_hidden_size"] = vision.hidden_size
        name = "image_token_id" if "image_token_id" in config else "image_token_index"
        return cls(
            vision=vision,
            qformer=queries.QFormerConfig.from_json(asks, count),
            text=DECODERS[kind].config.from_json(section),
            decoder=kind,
            image_token_id=fields.whole(config, name, low=0),
        )


def speaker(name: str) -> Decoder:
    """A decoder's row of the table, under the names that it has here."""
    family = DECODERS[name]
    return family._replace(
        scope=f"{LANGUAGE}.{family.scope}",
        embedding=f"{LANGUAGE}.{family.embedding}",
        head=f"{LANGUAGE}.{family.head}",
    )


SPEAKER = speaker("llama")  # which computes a Qwen2 just as well


def expected_shapes(config: Blip2Config, tied: bool) -> dict[str, tuple[int, ...]]:
    """Every tensor by name; a tied head is the embedding and has none of its own."""
    spoken = speaker(config.decoder).expected_shapes(config.text, tied)
    hidden, tower = config.text.hidden_size, tower_shapes(config.vision)
    return {
        **{f"{VISION}.{name}": shape for name, shape in tower.items()},
        **queries.expected_shapes(config.qformer),
        f"{PROJECTION}.weight": (hidden, config.qformer.hidden_size),
        f"{PROJECTION}.bias": (hidden,),
        **spoken,
    }


def encode_image(
    pixels,
    weights: Weights,
    config: Blip2Config,
    progress=None,
    watch: list[np.ndarray] | None = None,
):
    """Pictures to tokens of the decoder: (n, 3, s, s) -> (n, queries, hidden).

    `watch` collects where each query looked, see `qformer.qformer`.
    """
    tower = weights.scope(VISION)
    picture = blip_tower(pixels, tower, config.vision, progress=progress)
    asked = queries.qformer(picture, weights, config.qformer, watch=watch)
    return linear(asked, weights.scope(PROJECTION))


def image_grid(config: Blip2Config, height: int, width: int) -> tuple[int, int]:
    """One row of tokens, the queries': they have no place in the picture."""
    check_size(config.vision, height, width)
    return 1, config.qformer.num_query_tokens


def blip2(
    pixel_values,
    input_ids,
    weights: Weights,
    config: Blip2Config,
    attention_mask=None,
):
    """Pictures and ids to logits: (b, tokens, vocabulary) for every position.

    pixel_values (n, 3, s, s) or None; input_ids (b, t) marks each picture with one
    `splicing.IMAGE`, or with the image token repeated. attention_mask (b, t).
    """
    image = None
    if pixel_values is not None:
        image = encode_image(pixel_values, weights, config)
        input_ids, attention_mask = make_room(input_ids, image.shape[1], attention_mask)
    hidden = SPEAKER.forward(
        splice(input_ids, image, weights, SPEAKER.embedding, config.image_token_id),
        weights.scope(SPEAKER.scope),
        config.text,
        attention_mask,
    )
    return SPEAKER.logits(hidden, weights)
