"""The numbers that make one CLIP another, and where they are read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import fields
from .fields import ConfigError

ACTIVATIONS = ("quick_gelu", "gelu")
VISION_KIND = "clip_vision_model"


@dataclass(frozen=True)
class TowerConfig:
    """A stack of transformer blocks; the field names are those of config.json."""

    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5


@dataclass(frozen=True)
class VisionConfig(TowerConfig):
    """The tower that looks: a picture is cut into square patches, one token each."""

    image_size: int = 224
    patch_size: int = 32

    @classmethod
    def from_json(cls, section: Mapping) -> VisionConfig:
        """From the vision_config of a parsed config.json, strictly."""
        fields.only(section, "model_type", VISION_KIND, default=VISION_KIND)
        return _vision(section)

    @property
    def side(self) -> int:
        """Patches along each side; what is left over at the edges belongs to none."""
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        """Patches in a picture."""
        return self.side**2


@dataclass(frozen=True)
class TextConfig(TowerConfig):
    """The tower that reads; `eos_token_id` ends a text, and its token is the text's.

    An `eos_token_id` of 2 is what the first published files say, wrongly: there the
    end is the highest id of the row.
    """

    vocab_size: int = 49408
    max_position_embeddings: int = 77
    eos_token_id: int = 49407

    @property
    def ends_with_highest_id(self) -> bool:
        """Whether `eos_token_id` is the placeholder of the first published files."""
        return self.eos_token_id == 2


@dataclass(frozen=True)
class CLIPConfig:
    """Two towers and the space they share, of `projection_dim` dimensions."""

    vision: VisionConfig
    text: TextConfig
    projection_dim: int = 512
    logit_scale_init_value: float = 2.6592

    @classmethod
    def from_json(cls, config: Mapping) -> CLIPConfig:
        """From the parsed config.json of a CLIP, strictly."""
        fields.only(config, "model_type", "clip", default="clip")
        return cls(
            vision=_vision(_tower(config, "vision_config", VISION_KIND)),
            text=_text(_tower(config, "text_config", "clip_text_model")),
            projection_dim=fields.whole(config, "projection_dim", 512, high=1 << 16),
            logit_scale_init_value=fields.number(
                config, "logit_scale_init_value", 2.6592, low=-100.0, high=100.0
            ),
        )


def _tower(config, name, kind):
    """One tower's section; older files repeat it as `..._dict`, which then counts."""
    section = dict(fields.section(config, name))
    if config.get(f"{name}_dict") is not None:
        section |= fields.section(config, f"{name}_dict")
    fields.only(section, "model_type", kind, default=kind)
    return section


def _vision(section):
    fields.only(section, "num_channels", 3, default=3)
    built = VisionConfig(
        **_blocks(section, 768, 12),
        image_size=fields.whole(section, "image_size", 224, high=1 << 13),
        patch_size=fields.whole(section, "patch_size", 32, high=1 << 13),
    )
    if built.patch_size > built.image_size:
        raise ConfigError(
            f"config.json: patches of {built.patch_size} pixels do not fit into "
            f"pictures of {built.image_size}"
        )
    return built


def _text(section):
    built = TextConfig(
        **_blocks(section, 512, 8),
        vocab_size=fields.whole(section, "vocab_size", 49408),
        max_position_embeddings=fields.whole(
            section, "max_position_embeddings", 77, high=1 << 16
        ),
        eos_token_id=fields.whole(section, "eos_token_id", 49407, low=0),
    )
    if not built.ends_with_highest_id and built.eos_token_id >= built.vocab_size:
        raise ConfigError(
            f"config.json: eos_token_id is {built.eos_token_id}, but the vocabulary "
            f"ends at {built.vocab_size - 1}"
        )
    return built


def _blocks(section, hidden, heads):
    """What both towers have; where a file is silent, it means CLIP ViT-B/32."""
    widened = 4 * hidden
    hidden = fields.whole(section, "hidden_size", hidden, high=1 << 16)
    heads = fields.whole(section, "num_attention_heads", heads, high=1024)
    if hidden % heads:
        raise ConfigError(
            f"config.json: {hidden} features do not split into {heads} heads"
        )
    return {
        "hidden_size": hidden,
        "intermediate_size": fields.whole(section, "intermediate_size", widened),
        "num_hidden_layers": fields.whole(section, "num_hidden_layers", 12, high=1024),
        "num_attention_heads": heads,
        "hidden_act": fields.only(
            section, "hidden_act", *ACTIVATIONS, default="quick_gelu"
        ),
        "layer_norm_eps": fields.number(section, "layer_norm_eps", 1e-5, high=1.0),
    }
