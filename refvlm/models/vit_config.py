"""The numbers that make one vision transformer another, and where they come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from . import fields
from .fields import ConfigError

KINDS = ("vit", "deit")
ACTIVATIONS = ("gelu", "quick_gelu")


@dataclass(frozen=True)
class ViTConfig:
    """The field names are those of config.json, the defaults ViT-B/16's.

    `distilled` is DeiT's: a second token before the patches, which learnt from a
    teacher. A DeiT without it is published, and computed, as a ViT.

    >>> ViTConfig().patches
    196
    """

    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    hidden_act: str = "gelu"
    layer_norm_eps: float = 1e-12
    qkv_bias: bool = True
    image_size: int = 224
    patch_size: int = 16
    distilled: bool = False

    @classmethod
    def from_json(cls, config: Mapping) -> ViTConfig:
        """From the parsed config.json of a ViT or a DeiT, strictly."""
        kind = fields.only(config, "model_type", *KINDS, default="vit")
        fields.only(config, "num_channels", 3, default=3)
        fields.only(config, "pooler_act", "tanh", default="tanh")
        width = fields.whole(config, "hidden_size", 768, high=1 << 16)
        fields.only(config, "pooler_output_size", width, None)
        return cls(
            hidden_size=width,
            intermediate_size=fields.whole(config, "intermediate_size", 3072),
            num_hidden_layers=fields.whole(config, "num_hidden_layers", 12, high=1024),
            num_attention_heads=fields.whole(
                config, "num_attention_heads", 12, high=1024
            ),
            hidden_act=fields.only(config, "hidden_act", *ACTIVATIONS, default="gelu"),
            layer_norm_eps=fields.number(config, "layer_norm_eps", 1e-12, high=1.0),
            qkv_bias=fields.flag(config, "qkv_bias", True),
            image_size=fields.whole(config, "image_size", 224, high=1 << 13),
            patch_size=fields.whole(config, "patch_size", 16, high=1 << 13),
            distilled=kind == "deit",
        )

    def __post_init__(self):
        if self.hidden_size % self.num_attention_heads:
            raise ConfigError(
                f"config.json: {self.hidden_size} features do not split into "
                f"{self.num_attention_heads} heads"
            )
        if self.patch_size > self.image_size:
            raise ConfigError(
                f"config.json: patches of {self.patch_size} pixels do not fit into "
                f"pictures of {self.image_size}"
            )

    @property
    def side(self) -> int:
        """Patches along one edge of the picture that it learnt from."""
        return self.image_size // self.patch_size

    @property
    def patches(self) -> int:
        """Patches in such a picture; what is left over at its edges is in none."""
        return self.side**2

    @property
    def prefix(self) -> int:
        """Tokens before the patches: the class, and the teacher's if there is one."""
        return 2 if self.distilled else 1


# The three that the sources name; their published files say so themselves.
VIT_S16 = ViTConfig(384, 1536, 12, 6)
VIT_B16 = ViTConfig(768, 3072, 12, 12)
DEIT_TINY = ViTConfig(192, 768, 12, 3)
