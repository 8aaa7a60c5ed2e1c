"""The numbers that make one LLaVA another, and where they are read from.

`model_type` says the connector: "llava" where it is an MLP, as transformers writes it,
"llava_linear" and "llava_queries" where it is another, which are names of ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..arguments import is_whole
from . import fields, llama, qwen2
from .clip_config import VisionConfig
from .fields import ConfigError
from .llava_connectors import ACTIVATIONS, CONNECTORS, connector_of

MODEL_TYPES = {row.model_type: name for name, row in CONNECTORS.items()}
ORIGINAL = (
    "this is LLaVA's original layout, whose tower and its sizes are in another "
    "repository. Take the conversion of it under llava-hf, such as "
    "llava-hf/llava-1.5-7b-hf, or write one with transformers' "
    "convert_llava_weights_to_hf.py"
)
TILED = (
    "it cuts a picture into tiles, and how many tokens that makes depends on the "
    "picture. That is not read here: take a LLaVA-1.5, such as "
    "llava-hf/llava-1.5-7b-hf (the tiles themselves are made by refvlm.image.Tiler)"
)
RELATIVES = {  # model_type of what is near and not read -> why, and what to take
    "llava_llama": ORIGINAL,
    "llava_mistral": ORIGINAL,
    "llava_mpt": ORIGINAL,
    "llava_next": TILED,
    "llava_next_video": TILED,
    "llava_onevision": TILED,
    "vipllava": (
        "its connector norms five hidden states side by side before it maps them. That "
        "is not read here: take a LLaVA-1.5, such as llava-hf/llava-1.5-7b-hf"
    ),
}
TOWERS = ("clip_vision_model",)
TEXTS = {"llama": llama.LlamaConfig, "qwen2": qwen2.Qwen2Config}
STRATEGIES = ("default", "full")
UNSAID = 576  # what transformers writes for image_seq_length where nobody said another
MAX_LAYERS = 64  # hidden states side by side; published models take one to five


@dataclass(frozen=True)
class LlavaConfig:
    """A tower, the hidden states of it that are looked at, a connector, a decoder.

    `select` is "default" where the class token is left out, "full" where it stays.
    `queries` and `query_heads` are those of the query connector.
    """

    vision: VisionConfig
    text: qwen2.Qwen2Config
    decoder: str = "llama"
    connector: str = "mlp"
    image_token_id: int = 32000
    feature_layers: tuple[int, ...] = (-2,)
    select: str = "default"
    projector_act: str = "gelu"
    projector_bias: bool = True
    queries: int = 32
    query_heads: int = 8

    @property
    def width(self) -> int:
        """The features of a patch: those of all hidden states that are looked at."""
        return self.vision.hidden_size * len(self.feature_layers)

    @property
    def grid(self) -> tuple[int, int]:
        """A picture's tokens as rows and columns: those of its patches, or one row
        where a token is no patch."""
        return connector_of(self).tokens(self)

    @property
    def image_tokens(self) -> int:
        """The tokens that a picture becomes."""
        rows, columns = self.grid
        return rows * columns

    @classmethod
    def from_json(cls, config: Mapping) -> LlavaConfig:
        """From the parsed config.json of a LLaVA, strictly."""
        _refuse_original(config)
        kind = fields.only(config, "model_type", *MODEL_TYPES, default="llava")
        vision = VisionConfig.from_json(_part(config, "vision_config", *TOWERS))
        decoder, text = _text(config)
        built = cls(
            vision=vision,
            text=text,
            decoder=decoder,
            connector=MODEL_TYPES[kind],
            image_token_id=_image_token(config),
            feature_layers=_layers(config, vision),
            select=fields.only(
                config,
                "vision_feature_select_strategy",
                *STRATEGIES,
                default="default",
            ),
            projector_act=fields.only(
                config, "projector_hidden_act", *ACTIVATIONS, default="gelu"
            ),
            projector_bias=fields.flag(config, "multimodal_projector_bias", True),
            queries=fields.whole(config, "query_tokens", 32, high=1 << 16),
            query_heads=fields.whole(config, "query_heads", 8, high=1024),
        )
        connector_of(built).check(built)
        _check_tokens(config, built)
        return built


def _refuse_original(config):
    """The first LLaVA's own files name a tower that lies somewhere else."""
    tower = config.get("mm_vision_tower")
    if tower is not None:
        raise ConfigError(f"config.json: mm_vision_tower is {tower!r:.60}: {ORIGINAL}")


def _part(config, name, *kinds):
    """A section whose model_type is one of the kinds, or is not said."""
    section = fields.section(config, name)
    kind = section.get("model_type", kinds[0])
    if kind not in kinds:
        raise ConfigError(
            f"config.json: the {name}'s model_type is {kind!r:.60}, but only "
            f"{' or '.join(map(repr, kinds))} is implemented in a LLaVA"
        )
    return section


def _text(config):
    section = dict(_part(config, "text_config", *TEXTS))
    decoder = section.get("model_type", "llama")
    if config.get("tie_word_embeddings"):
        section["tie_word_embeddings"] = True
    return decoder, TEXTS[decoder].from_json(section)


def _image_token(config):
    """transformers reads both names, and writes the second."""
    token = "image_token_id" if "image_token_id" in config else "image_token_index"
    return fields.whole(config, token, 32000, low=0)


def _layers(config, vision):
    """vision_feature_layer: a hidden state, or several to be laid side by side."""
    name, blocks = "vision_feature_layer", vision.num_hidden_layers
    given = config.get(name, -2)
    layers = given if isinstance(given, list) else [given]
    right = all(is_whole(layer) and -blocks - 1 <= layer <= blocks for layer in layers)
    if not right or not 0 < len(layers) <= MAX_LAYERS:
        raise ConfigError(
            f"config.json: {name} is {given!r:.60}, but must be one of the hidden "
            f"states {-blocks - 1} to {blocks} of a tower of {blocks} blocks, or a "
            "list of some"
        )
    return tuple(layers)


def _check_tokens(config, built):
    """The image's token is one of the vocabulary, and image_seq_length, where it is
    said, what the tower makes."""
    if built.image_token_id >= built.text.vocab_size:
        raise ConfigError(
            f"config.json: the image token is {built.image_token_id}, but the "
            f"vocabulary ends at {built.text.vocab_size - 1}"
        )
    said = config.get("image_seq_length")
    if said not in (None, UNSAID, built.image_tokens):
        raise ConfigError(
            f"config.json: image_seq_length is {said!r:.60}, but a picture of "
            f"{built.vision.image_size} pixels in patches of {built.vision.patch_size} "
            f"becomes {built.image_tokens} tokens"
        )
