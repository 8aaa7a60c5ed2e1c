"""Other names for the tensors of convolutional towers: timm's, torchvision's, Meta's.

Ours are transformers'. timm and torchvision share ResNet's names (`layer1.0.conv1`);
of ConvNeXt's, timm's say `blocks.0.conv_dw` where Meta's checkpoints say `0.dwconv`.
A tower that was saved without its classifier has no `resnet.` before its names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..checkpoint import Weights
from . import fields

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

SMALL, LARGE = (64, 128, 256, 512), (256, 512, 1024, 2048)

TIMM: dict[str, dict[str, Any]] = {
    **{
        f"resnet{layers}": {
            "model_type": "resnet",
            "depths": depths,
            "hidden_sizes": SMALL if kind == "basic" else LARGE,
            "layer_type": kind,
        }
        for layers, depths, kind in (
            (18, (2, 2, 2, 2), "basic"),
            (34, (3, 4, 6, 3), "basic"),
            (50, (3, 4, 6, 3), "bottleneck"),
            (101, (3, 4, 23, 3), "bottleneck"),
            (152, (3, 8, 36, 3), "bottleneck"),
        )
    },
    **{
        f"convnext_{size}": {
            "model_type": "convnext",
            "depths": (3, 3, middle, 3),
            "num_stages": 4,
            "hidden_sizes": tuple(width * 2**stage for stage in range(4)),
            "layer_norm_eps": 1e-6,
        }
        for size, middle, width in (
            ("tiny", 9, 96),
            ("small", 27, 96),
            ("base", 27, 128),
            ("large", 27, 192),
        )
    },
}
"""What timm's names of architectures mean, in transformers' words."""


def knows(document: Mapping[str, Any]) -> bool:
    """Whether timm's config.json is of a tower of this file."""
    return str(document.get("architecture")).partition(".")[0] in TIMM


def document_of_timm(document: Mapping[str, Any]) -> dict[str, Any]:
    """timm's config.json in transformers' words: all sizes are in the name.

    >>> document_of_timm({"architecture": "resnet18.a1_in1k"})["depths"]
    (2, 2, 2, 2)
    """
    if document.get("model_args"):
        raise fields.ConfigError(
            f"config.json: model_args is {document['model_args']!r:.60}, which may "
            "change the model in a way that is not known here"
        )
    fields.only(document, "global_pool", "avg", default="avg")
    name = str(document.get("architecture")).partition(".")[0]
    return {**TIMM[name], "num_labels": document.get("num_classes", 1000)}


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
