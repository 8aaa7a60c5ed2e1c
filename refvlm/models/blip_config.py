"""The numbers that make one BLIP another, and where they are read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import fields
from .fields import ConfigError


@dataclass(frozen=True)
class BlipVisionConfig:
    """The tower that looks; BLIP-2's has the same fields. Names are config.json's."""

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    image_size: int = 384
    patch_size: int = 16
    layer_norm_eps: float = 1e-5
    qkv_bias: bool = True

    @classmethod
    def from_json(cls, section: Mapping, kind="blip_vision_model", **defaults):
        """From a `vision_config`, strictly; `defaults` are what silence means."""
        fields.only(section, "model_type", kind, default=kind)
        fields.only(section, "hidden_act", "gelu", default="gelu")
        read = _reader(section, {**vars(cls()), **defaults})
        eps = defaults.get("layer_norm_eps", 1e-5)
        config = cls(
            hidden_size=read("hidden_size", 1 << 16),
            intermediate_size=read("intermediate_size", 1 << 20),
            num_hidden_layers=read("num_hidden_layers", 1024),
            num_attention_heads=read("num_attention_heads", 1024),
            image_size=read("image_size", 1 << 13),
            patch_size=read("patch_size", 1 << 13),
            layer_norm_eps=fields.number(section, "layer_norm_eps", eps, high=1.0),
            qkv_bias=fields.flag(section, "qkv_bias", True),
        )
        check_heads(config)
        if config.patch_size > config.image_size:
            raise ConfigError(
                f"config.json: patches of {config.patch_size} pixels do not fit into "
                f"pictures of {config.image_size}"
            )
        return config

    @property
    def side(self) -> int:
        """Patches in a row of a picture; what is left over at its edge is in none."""
        return self.image_size // self.patch_size

    @property
    def tokens(self) -> int:
        """What a picture is to those who look at it: a class token and its patches."""
        return self.side**2 + 1


@dataclass(frozen=True)
class BlipTextConfig:
    """The text model: BERT, whose layers can also look at a picture.

    `encoder_hidden_size` is the width of what they look at. A caption begins with
    `bos_token_id`, [DEC], and ends with `sep_token_id`, [SEP].
    """

    vocab_size: int = 30524
    hidden_size: int = 768
    encoder_hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 8
    max_position_embeddings: int = 512
    layer_norm_eps: float = 1e-12
    bos_token_id: int = 30522
    sep_token_id: int = 102

    @classmethod
    def from_json(cls, section: Mapping, encoder_hidden_size: int) -> BlipTextConfig:
        """From a `text_config`, strictly."""
        fields.only(section, "model_type", "blip_text_model", default="blip_text_model")
        fields.only(section, "hidden_act", "gelu", default="gelu")
        fields.only(section, "is_decoder", True, default=True)
        fields.only(section, "tie_word_embeddings", True, default=True)
        read = _reader(section, vars(cls()))
        config = cls(
            vocab_size=read("vocab_size", 1 << 24),
            hidden_size=read("hidden_size", 1 << 16),
            encoder_hidden_size=encoder_hidden_size,
            intermediate_size=read("intermediate_size", 1 << 20),
            num_hidden_layers=read("num_hidden_layers", 1024),
            num_attention_heads=read("num_attention_heads", 1024),
            max_position_embeddings=read("max_position_embeddings", 1 << 16),
            layer_norm_eps=fields.number(section, "layer_norm_eps", 1e-12, high=1.0),
            bos_token_id=read("bos_token_id", 1 << 24, low=0),
            sep_token_id=read("sep_token_id", 1 << 24, low=0),
        )
        check_heads(config)
        for name in ("bos_token_id", "sep_token_id"):
            if getattr(config, name) >= config.vocab_size:
                raise ConfigError(
                    f"config.json: {name} is {getattr(config, name)}, but the "
                    f"vocabulary ends at {config.vocab_size - 1}"
                )
        return config

    @property
    def context(self) -> int:
        """How many tokens there are positions for."""
        return self.max_position_embeddings

    @property
    def tie_word_embeddings(self) -> bool:
        """The table of words is the head that writes them, in every BLIP."""
        return True


@dataclass(frozen=True)
class BlipConfig:
    """A tower, a text model, and the space in which a picture and a text are compared,
    of `image_text_hidden_size` dimensions."""

    vision: BlipVisionConfig
    text: BlipTextConfig
    image_text_hidden_size: int = 256

    @classmethod
    def from_json(cls, config: Mapping) -> BlipConfig:
        """From the parsed config.json of a BLIP, strictly."""
        fields.only(config, "model_type", "blip", default="blip")
        fields.only(config, "tie_word_embeddings", True, default=True)
        vision = BlipVisionConfig.from_json(fields.section(config, "vision_config"))
        if not vision.qkv_bias:
            raise ConfigError("config.json: qkv_bias is false, but BLIP has it")
        return cls(
            vision=vision,
            text=BlipTextConfig.from_json(
                fields.section(config, "text_config"), vision.hidden_size
            ),
            image_text_hidden_size=fields.whole(
                config, "image_text_hidden_size", 256, high=1 << 16
            ),
        )


def check_heads(config) -> None:
    """Refuse features that do not split into heads."""
    if config.hidden_size % config.num_attention_heads:
        raise ConfigError(
            f"config.json: {config.hidden_size} features do not split into "
            f"{config.num_attention_heads} heads"
        )


def _reader(section, defaults):
    """Whole numbers of a section by name, each with what its absence means."""

    def read(name, high, low=1):
        return fields.whole(section, name, defaults[name], low=low, high=high)

    return read
