"""Other names for the tensors of convolutional towers: timm's, torchvision's, Meta's.

Ours are transformers'. timm and torchvision share ResNet's names (`layer1.0.conv1`);
of ConvNeXt's, timm's say `blocks.0.conv_dw` where Meta's checkpoints say `0.dwconv`.
A tower that was saved without its classifier has no `resnet.` before its names.
"""

from __future__ import annotations

import re

from ..checkpoint import Weights

RESNET = [
    (r"^conv1\.", "resnet.embedder.embedder.convolution."),
    (r"^bn1\.", "resnet.embedder.embedder.normalization."),
    (r"^fc\.", "classifier.1."),
    (r"\.downsample\.0\.", ".shortcut.convolution."),
    (r"\.downsample\.1\.", ".shortcut.normalization."),
]
PART = {"conv": "convolution", "bn": "normalization"}

CONVNEXT = [
    # Meta's
    (r"^downsample_layers\.0\.0\.", "convnext.embeddings.patch_embeddings."),
    (r"^downsample_layers\.0\.1\.", "convnext.embeddings.layernorm."),
    (r"^downsample_layers\.(\d+)\.", r"stages.\1.downsample."),
    (r"^stages\.(\d+)\.(\d+)\.", r"stages.\1.blocks.\2."),
    (r"^norm\.", "convnext.layernorm."),
    (r"^head\.(weight|bias)$", r"classifier.\1"),
    # timm's
    (r"^stem\.0\.", "convnext.embeddings.patch_embeddings."),
    (r"^stem\.1\.", "convnext.embeddings.layernorm."),
    (r"^head\.norm\.", "convnext.layernorm."),
    (r"^head\.fc\.", "classifier."),
    (r"\.conv_dw\.", ".dwconv."),
    (r"\.norm\.", ".layernorm."),
    (r"\.mlp\.fc(\d)\.", r".pwconv\1."),
    (r"\.gamma$", ".layer_scale_parameter"),
    (
        r"^stages\.(\d+)\.downsample\.",
        r"convnext.encoder.stages.\1.downsampling_layer.",
    ),
    (r"^stages\.(\d+)\.blocks\.", r"convnext.encoder.stages.\1.layers."),
]


def resnet(weights: Weights) -> Weights:
    """The weights of a ResNet under transformers' names, whichever they came in."""
    if "conv1.weight" in weights:
        return weights.rename(RESNET).rename(_in_stages)
    return _with_tower(weights, "resnet", "embedder.")


def convnext(weights: Weights) -> Weights:
    """The weights of a ConvNeXt under transformers' names, whichever they came in."""
    if "stem.0.weight" in weights or "downsample_layers.0.0.weight" in weights:
        return weights.rename(CONVNEXT)
    return _with_tower(weights, "convnext", "embeddings.")


def _in_stages(name: str) -> str:
    """`layer1.0.conv2.` is the second convolution of the first block."""
    block = re.match(r"layer(\d+)\.(\d+)\.", name)
    if block is None:
        return name
    stage, rest = int(block[1]) - 1, name[block.end() :]
    part = re.match(r"(conv|bn)(\d)\.", rest)
    if part is not None:
        rest = f"layer.{int(part[2]) - 1}.{PART[part[1]]}.{rest[part.end() :]}"
    return f"resnet.encoder.stages.{stage}.layers.{block[2]}.{rest}"


def _with_tower(weights, tower, first):
    """A tower saved alone, as a part of the whole."""
    if not any(name.startswith(first) for name in weights):
        return weights
    return weights.rename(lambda name: f"{tower}.{name}")
