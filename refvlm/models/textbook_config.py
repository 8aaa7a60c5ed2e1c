"""The numbers that make one textbook model another, and where they are read from.

The defaults are those of the source, as far as it gives them: heads, epsilons and the
rate at which decoder layers look are not in it, and are ViT-Small's, PyTorch's, and
"every one".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import fields
from .clip_config import VisionConfig
from .towers import TOWERS, LentTower
from .vit_config import VIT_S16, ViTConfig

# Which of the tower's tokens the decoder looks at. The first two names are LLaVA's.
SELECTIONS = {
    "default": slice(1, None),  # the patches: H_v, "for dense captioning"
    "full": slice(None),
    "class": slice(0, 1),  # the class token alone: h_v
}


@dataclass(frozen=True)
class TextbookDecoderConfig:
    """The decoder; the field names are those of config.json's text_config.

    Of `num_hidden_layers`, every `cross_attention_frequency`-th looks at the picture,
    the first included: all eight by 1, four by 2. With `norm_first` the norms stand
    before what they norm, and one more at the end.
    """

    vocab_size: int = 50000
    hidden_size: int = 512
    num_hidden_layers: int = 8
    num_attention_heads: int = 8
    intermediate_size: int = 2048
    max_position_embeddings: int = 512
    cross_attention_frequency: int = 1
    norm_first: bool = False
    layer_norm_eps: float = 1e-5
    tie_word_embeddings: bool = True

    @classmethod
    def from_json(cls, config: Mapping) -> TextbookDecoderConfig:
        """From the text_config of a parsed config.json, strictly."""
        fields.only(config, "model_type", KIND, default=KIND)
        fields.only(config, "hidden_act", "gelu", default="gelu")
        layers = fields.whole(config, "num_hidden_layers", 8, high=1024)
        width = fields.whole(config, "hidden_size", 512, high=1 << 16)
        heads = fields.whole(config, "num_attention_heads", 8, high=1024)
        if width % heads:
            raise fields.ConfigError(
                f"config.json: hidden_size {width} does not split into {heads} heads"
            )
        return cls(
            vocab_size=fields.whole(config, "vocab_size", 50000),
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=fields.whole(config, "intermediate_size", 4 * width),
            max_position_embeddings=fields.whole(
                config, "max_position_embeddings", 512, high=1 << 20
            ),
            cross_attention_frequency=fields.whole(
                config, "cross_attention_frequency", 1, high=layers
            ),
            norm_first=fields.flag(config, "norm_first", False),
            layer_norm_eps=fields.number(config, "layer_norm_eps", 1e-5, high=1.0),
            tie_word_embeddings=fields.flag(config, "tie_word_embeddings", True),
        )

    @property
    def context(self) -> int:
        """How many tokens there are positions for."""
        return self.max_position_embeddings

    def looks(self, layer: int) -> bool:
        """Whether a layer attends to the picture."""
        return layer % self.cross_attention_frequency == 0


KIND = "textbook_decoder"


@dataclass(frozen=True)
class TextbookConfig:
    """A tower that looks, a decoder that speaks, and what this is shown of that.

    `tower` is the row of `towers.TOWERS` that `vision` is the configuration of.
    `vision_feature_layer` is None for what the tower gives, its last norm included;
    else, as LLaVA counts, the hidden state between two of its blocks (-2: what goes
    into the last).
    """

    vision: ViTConfig | VisionConfig = VIT_S16
    text: TextbookDecoderConfig = TextbookDecoderConfig()
    tower: str = "vit"
    vision_feature_layer: int | None = None
    vision_feature_select_strategy: str = "default"

    @classmethod
    def from_json(cls, config: Mapping) -> TextbookConfig:
        """From the parsed config.json of a textbook model, strictly."""
        fields.only(config, "model_type", "textbook_vlm", default="textbook_vlm")
        vision = fields.section(config, "vision_config")
        name = fields.only(vision, "model_type", *TOWERS, default="vit")
        tower = TOWERS[name]
        seen = tower.from_json(vision)
        tied = config.get("tie_word_embeddings", True)
        words = {"tie_word_embeddings": tied, **fields.section(config, "text_config")}
        return cls(
            vision=seen,
            text=TextbookDecoderConfig.from_json(words),
            tower=name,
            vision_feature_layer=_feature_layer(config, seen.num_hidden_layers),
            vision_feature_select_strategy=fields.only(
                config, "vision_feature_select_strategy", *SELECTIONS, default="default"
            ),
        )

    @property
    def family(self) -> LentTower:
        """The row of the table of towers."""
        return TOWERS[self.tower]


def _feature_layer(config, blocks):
    """None, or a whole number that counts the tower's hidden states."""
    if config.get("vision_feature_layer") is None:
        return None
    return fields.whole(config, "vision_feature_layer", low=-blocks - 1, high=blocks)
