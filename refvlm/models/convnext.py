r"""ConvNeXt: a convolutional network in a transformer's clothes.

    pixels (b, 3, 224, 224)                              ConvNeXt-T
      embeddings  patches of 4 x 4, layer norm           96 x 56 x 56
      stages.0    3 blocks                               96 x 56 x 56
      stages.1    layer norm, 2 x 2 / 2, 3 blocks       192 x 28 x 28
      stages.2    layer norm, 2 x 2 / 2, 9 blocks       384 x 14 x 14
      stages.3    layer norm, 2 x 2 / 2, 3 blocks       768 x  7 x  7
      layernorm   of the mean of each channel           768
      classifier  a linear map                          1000 labels

Names of weights are those of transformers' ConvNextForImageClassification; the tower's
own stand behind `convnext.`. timm's and Meta's are read by `backbone_dialects`.

Sources: [Cortes] 3.2; [Liu2022]. Oracle: transformers'
ConvNextForImageClassification.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .. import ops
from ..blocks.convolutional.convnext_block import (
    convnext_block,
    convnext_block_shapes,
    downsample,
    downsample_shapes,
    pixel_norm,
)
from ..blocks.training_mode import Training, rising_rates
from ..checkpoint import Weights
from ..shapes import shapes
from . import fields

TOWER, HEAD = "convnext", "classifier"


@dataclass(frozen=True)
class ConvNextConfig:
    """One entry for each stage; the names are transformers', the defaults ConvNeXt-T's.

    Without layer scale (`layer_scale_init_value` of 0) its tensors are not there.
    """

    patch_size: int = 4
    hidden_sizes: tuple[int, ...] = (96, 192, 384, 768)
    depths: tuple[int, ...] = (3, 3, 9, 3)
    layer_norm_eps: float = 1e-12
    has_layer_scale: bool = True
    drop_path_rate: float = 0.0

    @property
    def width(self) -> int:
        """The channels of the last map."""
        return self.hidden_sizes[-1]

    def drop_rates(self) -> list[list[float]]:
        """Stochastic depth for each block: from 0 up to `drop_path_rate`, evenly."""
        return rising_rates(self.drop_path_rate, self.depths)

    @classmethod
    def from_json(cls, config: Mapping) -> ConvNextConfig:
        """From a parsed config.json, strictly; what it does not say is ConvNeXt-T's."""
        fields.only(config, "model_type", "convnext", default="convnext")
        fields.only(config, "num_channels", 3, default=3)
        fields.only(config, "hidden_act", "gelu", default="gelu")
        depths = fields.wholes(config, "depths", cls.depths, high=fields.MAX_BLOCKS)
        fields.only(config, "num_stages", len(depths), default=len(depths))
        scale = fields.number(
            config, "layer_scale_init_value", 1e-6, low=-1e-30, high=1e6
        )
        return cls(
            patch_size=fields.whole(config, "patch_size", 4, high=1 << 10),
            hidden_sizes=fields.wholes(
                config, "hidden_sizes", cls.hidden_sizes, len(depths), high=1 << 16
            ),
            depths=depths,
            layer_norm_eps=fields.number(config, "layer_norm_eps", 1e-12, high=1.0),
            has_layer_scale=scale > 0,
            drop_path_rate=fields.number(
                config, "drop_path_rate", 0.0, low=-1e-9, high=1.0
            ),
        )


def expected_shapes(config: ConvNextConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the tower by name, without the `convnext.` before it."""
    first, patch = config.hidden_sizes[0], config.patch_size
    parts: dict[str, dict[str, tuple[int, ...]]] = {
        "embeddings.patch_embeddings": {
            "weight": (first, 3, patch, patch),
            "bias": (first,),
        },
        "embeddings.layernorm": {"weight": (first,), "bias": (first,)},
    }
    before = first
    for stage, dim in enumerate(config.hidden_sizes):
        here = f"encoder.stages.{stage}"
        if stage:
            parts[f"{here}.downsampling_layer"] = downsample_shapes(before, dim)
        block = convnext_block_shapes(dim, config.has_layer_scale)
        for i in range(config.depths[stage]):
            parts[f"{here}.layers.{i}"] = block
        before = dim
    parts["layernorm"] = {"weight": (before,), "bias": (before,)}
    return {
        f"{part}.{name}": shape
        for part, tensors in parts.items()
        for name, shape in tensors.items()
    }


def head_shapes(config: ConvNextConfig, labels: int) -> dict[str, tuple[int, ...]]:
    """The tensors of the classifier by their full names."""
    return {f"{HEAD}.weight": (labels, config.width), f"{HEAD}.bias": (labels,)}


def logits(pixels, weights: Weights, config: ConvNextConfig, training=None):
    """A score for each label: (b, 3, h, w) -> (b, labels)."""
    seen = features(pixels, weights.scope(TOWER), config, training)
    return head_logits(seen, weights, config)


def head_logits(seen, weights: Weights, config: ConvNextConfig):
    """What the classifier makes of the last map, whose means are normed first:
    (b, c, h, w) -> (b, labels)."""
    norm, head = weights.scope(f"{TOWER}.layernorm"), weights.scope(HEAD)
    return ops.linear(pooled(seen, norm, config), head["weight"], head["bias"])


def pooled(seen, weights, config: ConvNextConfig):
    """The mean of each channel of a map, normed: (b, c, h, w) -> (b, c)."""
    means, eps = ops.global_avg_pool2d(seen), config.layer_norm_eps
    return ops.layer_norm(
        means, means.shape[-1:], weights["weight"], weights["bias"], eps
    )


def features(pixels, weights, config: ConvNextConfig, training: Training | None = None):
    """The last map: (b, 3, h, w) -> (b, width, h / 32, w / 32)."""
    *_, last = feature_pyramid(pixels, weights, config, training)
    return last


def feature_pyramid(
    pixels, weights, config: ConvNextConfig, training: Training | None = None
) -> list:
    """The map at the end of each stage, finest first: at steps of 4, 8, 16 and 32
    pixels. ConvNextBackbone norms them with weights of its own."""
    return [x for name, x in stages(pixels, weights, config, training) if name != STEM]


STEM = "embeddings"


@shapes(pixels="b 3 h w")
def stages(pixels, weights, config: ConvNextConfig, training=None) -> Iterator:
    """The tower stage by stage: yields (name, the map), as in the table above."""
    patches = weights.scope("embeddings.patch_embeddings")
    x = ops.conv2d(pixels, patches["weight"], patches["bias"], stride=config.patch_size)
    x = pixel_norm(x, weights.scope("embeddings.layernorm"))
    yield STEM, x
    for stage, rates in enumerate(config.drop_rates()):
        here = weights.scope(f"encoder.stages.{stage}")
        if stage:
            x = downsample(x, here.scope("downsampling_layer"))
        for i, rate in enumerate(rates):
            x = convnext_block(x, here.scope(f"layers.{i}"), rate, training)
        yield f"stages.{stage}", x
