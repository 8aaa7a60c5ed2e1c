r"""ResNet: four stages of residual blocks, each half as high and twice as wide.

    pixels (b, 3, 224, 224)                     ResNet-50        ResNet-18
      embedder   7 x 7 / 2, ReLU, 3 x 3 max / 2   64 x 56 x 56     64 x 56 x 56
      stages.0   3 blocks                        256 x 56 x 56     64 x 56 x 56
      stages.1   4 blocks, the first halves      512 x 28 x 28    128 x 28 x 28
      stages.2   6 blocks                       1024 x 14 x 14    256 x 14 x 14
      stages.3   3 blocks                       2048 x  7 x  7    512 x  7 x  7
      pooler     the mean of each channel       2048              512
      classifier a linear map                   1000 labels       1000

Names of weights are those of transformers' ResNetForImageClassification; the tower's
own stand behind `resnet.`. timm's and torchvision's are read by `backbone_dialects`.

Sources: [Cortes] 3.2; [He2016]. Oracle: transformers'
ResNetForImageClassification and ResNetBackbone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from .. import ops
from ..blocks.convolutional.reparameterization import exchanged
from ..blocks.convolutional.residual import (
    REDUCTION,
    basic_block_shapes,
    bottleneck_block_shapes,
    fold_normed_conv2d,
    normed_conv2d,
    normed_conv2d_shapes,
    residual_block,
)
from ..blocks.training_mode import Training
from ..checkpoint import Weights
from ..shapes import shapes
from . import fields
from .fields import ConfigError

TOWER, HEAD = "resnet", "classifier.1"
EMBEDDER = "embedder.embedder"
BLOCKS = {"basic": basic_block_shapes, "bottleneck": bottleneck_block_shapes}


@dataclass(frozen=True)
class ResNetConfig:
    """One entry for each stage; the names are transformers', the defaults ResNet-50's.

    A bottleneck halves in its 3 x 3 convolution, as PyTorch's ResNets do, or in its
    first 1 x 1 as in the paper (`downsample_in_bottleneck`).
    """

    embedding_size: int = 64
    hidden_sizes: tuple[int, ...] = (256, 512, 1024, 2048)
    depths: tuple[int, ...] = (3, 4, 6, 3)
    layer_type: str = "bottleneck"
    downsample_in_first_stage: bool = False
    downsample_in_bottleneck: bool = False

    @property
    def width(self) -> int:
        """The channels of the last map."""
        return self.hidden_sizes[-1]

    def stride(self, stage: int) -> int:
        """How far the first block of a stage steps."""
        return 2 if stage or self.downsample_in_first_stage else 1

    def strides(self, stride: int) -> tuple[int, ...]:
        """The steps of each convolution of a block that steps so far in all."""
        if self.layer_type == "basic":
            return stride, 1
        return (stride, 1, 1) if self.downsample_in_bottleneck else (1, stride, 1)

    @classmethod
    def from_json(cls, config: Mapping) -> ResNetConfig:
        """From a parsed config.json, strictly; what it does not say is ResNet-50's."""
        fields.only(config, "model_type", "resnet", default="resnet")
        fields.only(config, "num_channels", 3, default=3)
        fields.only(config, "hidden_act", "relu", default="relu")
        depths = fields.wholes(config, "depths", cls.depths, high=fields.MAX_BLOCKS)
        built = cls(
            embedding_size=fields.whole(config, "embedding_size", 64, high=1 << 16),
            hidden_sizes=fields.wholes(
                config, "hidden_sizes", cls.hidden_sizes, len(depths), high=1 << 16
            ),
            depths=depths,
            layer_type=fields.only(config, "layer_type", *BLOCKS, default="bottleneck"),
            downsample_in_first_stage=fields.flag(
                config, "downsample_in_first_stage", False
            ),
            downsample_in_bottleneck=fields.flag(
                config, "downsample_in_bottleneck", False
            ),
        )
        narrow = built.layer_type == "bottleneck"
        for channels in built.hidden_sizes:
            if narrow and channels % REDUCTION:
                raise ConfigError(
                    f"config.json: hidden_sizes has {channels}, but a bottleneck needs "
                    f"a multiple of {REDUCTION}"
                )
        return built


def expected_shapes(config: ResNetConfig) -> dict[str, tuple[int, ...]]:
    """Every tensor of the tower by name, without the `resnet.` before it."""
    parts = {EMBEDDER: normed_conv2d_shapes(3, config.embedding_size, 7)}
    c_in, block_shapes = config.embedding_size, BLOCKS[config.layer_type]
    for stage, c_out in enumerate(config.hidden_sizes):
        for i in range(config.depths[stage]):
            stride = 1 if i else config.stride(stage)
            name = f"encoder.stages.{stage}.layers.{i}"
            parts[name] = block_shapes(c_in, c_out, stride)
            c_in = c_out
    return {
        f"{part}.{name}": shape
        for part, tensors in parts.items()
        for name, shape in tensors.items()
    }


def head_shapes(config: ResNetConfig, labels: int) -> dict[str, tuple[int, ...]]:
    """The tensors of the classifier by their full names."""
    return {f"{HEAD}.weight": (labels, config.width), f"{HEAD}.bias": (labels,)}


def logits(pixels, weights: Weights, config: ResNetConfig, training=None):
    """A score for each label: (b, 3, h, w) -> (b, labels)."""
    seen = features(pixels, weights.scope(TOWER), config, training)
    return head_logits(seen, weights, config)


def head_logits(seen, weights: Weights, config: ResNetConfig):
    """What the classifier makes of the last map: (b, c, h, w) -> (b, labels)."""
    head = weights.scope(HEAD)
    return ops.linear(ops.global_avg_pool2d(seen), head["weight"], head["bias"])


def features(pixels, weights, config: ResNetConfig, training: Training | None = None):
    """The last map: (b, 3, h, w) -> (b, width, h / 32, w / 32)."""
    *_, last = feature_pyramid(pixels, weights, config, training)
    return last


def feature_pyramid(
    pixels, weights, config: ResNetConfig, training: Training | None = None
) -> list:
    """The map at the end of each stage, finest first: at steps of 4, 8, 16 and 32
    pixels. What ResNetBackbone calls its feature maps."""
    return [x for name, x in stages(pixels, weights, config, training) if name != STEM]


STEM = "embedder"


@shapes(pixels="b 3 h w")
def stages(pixels, weights, config: ResNetConfig, training=None) -> Iterator:
    """The tower stage by stage: yields (name, the map), as in the table above."""
    x = ops.relu(normed_conv2d(pixels, weights.scope(EMBEDDER), 2, training))
    x = ops.max_pool2d(x, 3, stride=2, padding=1)
    yield STEM, x
    for stage, depth in enumerate(config.depths):
        for i in range(depth):
            strides = config.strides(1 if i else config.stride(stage))
            block = weights.scope(f"encoder.stages.{stage}.layers.{i}")
            x = residual_block(x, block, strides, training)
        yield f"stages.{stage}", x


def prepare(weights: Weights, config: ResNetConfig, prefix: str = TOWER) -> Weights:
    """Weights for inference alone: every normalisation folded into its filter.

    `prefix` is where the tower stands among the weights. Oracle:
    torch.nn.utils.fusion.fuse_conv_bn_eval.
    """
    tower, folded, gone = weights.scope(prefix), {}, set()
    last = ".normalization.weight"
    for name in expected_shapes(config):
        if name.endswith(last):
            part = name.removesuffix(last)
            here = tower.scope(part)
            kernel, bias = fold_normed_conv2d(here)
            folded[f"{part}.convolution.weight"] = kernel
            folded[f"{part}.convolution.bias"] = bias
            norm = here.scope("normalization")
            gone |= {f"{part}.normalization.{term}" for term in norm}
    return exchanged(weights, prefix, gone, folded)
