"""The numbers that make one MicroVLM another, and where they are read from.

The defaults are those of the source: DeiT-Tiny looks, Qwen2.5-0.5B speaks, and between
them stand an adapter and a memory of 512 slots. Its sections `adapter`, `memory` and
`scope` are ours: the source has no config.json.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from . import fields
from .clip_config import VisionConfig
from .qwen2 import Qwen2Config
from .towers import TOWERS, LentTower
from .vit_config import ViTConfig

MODEL_TYPE = "microvlm_v"
DEIT_TINY = ViTConfig(
    hidden_size=192,
    intermediate_size=768,
    num_attention_heads=3,
    layer_norm_eps=1e-6,
)
WIRINGS = ("contexts", "tokens")
# A DeiT with its teacher's token is a ViT with two tokens before the patches.
TOWER_KINDS = {**{kind: kind for kind in TOWERS}, "deit": "vit"}


@dataclass(frozen=True)
class AdapterConfig:
    """From patches to a prefix: an MLP of `inner` units, and `tokens` learnt queries,
    of `heads` heads with matrices of their own, or of none (0), plain."""

    inner: int = 1792
    tokens: int = 25
    heads: int = 4

    @classmethod
    def from_json(cls, config: Mapping) -> AdapterConfig:
        return cls(
            inner=fields.whole(config, "intermediate_size", 1792, high=1 << 16),
            tokens=fields.whole(config, "prefix_tokens", 25, high=1 << 12),
            heads=fields.whole(config, "pooling_heads", 4, low=0, high=1024),
        )


@dataclass(frozen=True)
class MemoryConfig:
    r"""A memory of K `slots` of C `width`, and how it is written and read.

    Its prior mean is `scale` times the first K rows of the identity, `noise` the
    variance of an observation. In the wiring "contexts", as published, one vector of a
    picture is written, what an LSTM makes of its mean; in "tokens", `written` of its
    tokens, each with what the LSTM says of its place. `ridge` is that of addresses
    against what is written; without one they are taken from the prior. A slot has
    `heads` heads in each layer: those of the keys, or all of the queries.
    """

    slots: int = 512
    width: int = 896
    scale: float = 1.0
    noise: float = 1e-6
    wiring: str = "contexts"
    written: int = 1
    order_layers: int = 2
    order_width: int = 448
    both_ways: bool = True
    ridge: float | None = None
    heads: int = 14

    @classmethod
    def from_json(cls, config: Mapping) -> MemoryConfig:
        return cls(
            slots=fields.whole(config, "slots", 512, high=1 << 12),
            width=fields.whole(config, "width", 896, high=1 << 14),
            scale=fields.number(config, "prior_scale", 1.0, high=1e6),
            noise=fields.number(config, "noise", 1e-6, high=1e6),
            wiring=fields.only(config, "wiring", *WIRINGS, default="contexts"),
            written=fields.whole(config, "written_tokens", 1, high=1 << 12),
            order_layers=fields.whole(config, "order_layers", 2, high=64),
            order_width=fields.whole(config, "order_width", 448, high=1 << 14),
            both_ways=fields.flag(config, "bidirectional", True),
            ridge=None
            if config.get("ridge") is None
            else fields.number(config, "ridge", high=1e6),
            heads=fields.whole(config, "heads", 14, high=1024),
        )

    def __post_init__(self):
        if self.slots >= self.width:
            raise fields.ConfigError(
                f"config.json: a memory of {self.slots} slots has codes of more than "
                f"{self.slots} numbers, not {self.width}: the first ones are the "
                "address, and the rest is what is stored"
            )
        ordered = self.order_width * (2 if self.both_ways else 1)
        if ordered != self.width:
            raise fields.ConfigError(
                f"config.json: the memory's LSTM gives {ordered} numbers, but codes "
                f"have {self.width}"
            )
        if self.wiring == "contexts" and self.written != 1:
            raise fields.ConfigError(
                "config.json: the wiring 'contexts' writes one vector of a picture, "
                f"not {self.written}"
            )


@dataclass(frozen=True)
class MicroVLMConfig:
    """A tower, an adapter, a decoder, a memory, and a gate of `scope_width` units.

    >>> MicroVLMConfig().image_tokens
    25
    """

    vision: ViTConfig | VisionConfig = DEIT_TINY
    tower_kind: str = "vit"
    text: Qwen2Config = field(default_factory=Qwen2Config)
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    memory: MemoryConfig = field(default_factory=MemoryConfig)
    scope_width: int = 256
    image_token_id: int | None = None  # a picture's place is marked by IMAGE alone

    @property
    def tower(self) -> LentTower:
        """How the tower looks, by its kind."""
        return TOWERS[self.tower_kind]

    @property
    def image_tokens(self) -> int:
        """The tokens that a picture becomes."""
        return self.adapter.tokens

    @classmethod
    def from_json(cls, config: Mapping) -> MicroVLMConfig:
        """From the parsed config.json of a MicroVLM, strictly."""
        fields.only(config, "model_type", MODEL_TYPE, default=MODEL_TYPE)
        vision = fields.section(config, "vision_config")
        named = fields.only(vision, "model_type", *TOWER_KINDS, default="vit")
        kind = TOWER_KINDS[named]
        text = fields.section(config, "text_config")
        fields.only(text, "model_type", "qwen2", default="qwen2")
        return cls(
            vision=TOWERS[kind].from_json(vision),
            tower_kind=kind,
            text=Qwen2Config.from_json(text),
            adapter=AdapterConfig.from_json(fields.section(config, "adapter")),
            memory=MemoryConfig.from_json(fields.section(config, "memory")),
            scope_width=fields.whole(
                fields.section(config, "scope"), "hidden_size", 256, high=1 << 14
            ),
        )

    def __post_init__(self):
        text, memory, heads = self.text, self.memory, self.adapter.heads
        allowed = text.num_key_value_heads, text.num_attention_heads
        if memory.heads not in allowed:
            raise fields.ConfigError(
                f"config.json: a slot has {memory.heads} heads, but must have those of "
                f"the decoder's keys, {allowed[0]}, or of its queries, {allowed[1]}"
            )
        if heads and text.hidden_size % heads:
            raise fields.ConfigError(
                f"config.json: {text.hidden_size} features do not split into {heads} "
                "heads of the adapter"
            )
        if memory.wiring == "contexts" and memory.width != text.hidden_size:
            raise fields.ConfigError(
                "config.json: the wiring 'contexts' writes codes as wide as the "
                f"decoder, {text.hidden_size}, not {memory.width}"
            )
        if memory.written > self.adapter.tokens:
            raise fields.ConfigError(
                f"config.json: {memory.written} tokens of a picture cannot be written, "
                f"it has {self.adapter.tokens}"
            )
