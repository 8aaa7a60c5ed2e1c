"""Names for the tensors of a vision transformer: transformers' and timm's.

timm keeps queries, keys and values in one matrix of three times the width, one above
the other; transformers in three. Ours are transformers', as its checkpoints are
published, with what stands before them: `vit.` or `deit.`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..checkpoint import Weights
from ..checkpoint.stored import Tensor
from . import fields
from .backbone_dialects import TIMM as BACKBONES
from .vit_config import ViTConfig

QKV = re.compile(r"blocks\.(\d+)\.attn\.qkv\.(weight|bias)")
# Beginnings of timm's names -> of transformers'.
WORDS = (
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^dist_token$", "embeddings.distillation_token"),
    (r"^pos_embed$", "embeddings.position_embeddings"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embeddings.projection."),
    (r"^blocks\.", "encoder.layer."),
    (r"\.norm1\.", ".layernorm_before."),
    (r"\.norm2\.", ".layernorm_after."),
    (r"\.attn\.proj\.", ".attention.output.dense."),
    (r"\.mlp\.fc1\.", ".intermediate.dense."),
    (r"\.mlp\.fc2\.", ".output.dense."),
    (r"^norm\.", "layernorm."),
)
HEADS = ("classifier.", "cls_classifier.", "distillation_classifier.")


def canonical(weights: Weights, scope: str) -> Weights:
    """The weights under the names of transformers' classifiers, whichever they came in:
    timm's, those of a model without a head, or these."""
    if "pos_embed" in weights:
        weights = _split(weights).rename(lambda name: name_from_timm(name, scope))
    if "embeddings.position_embeddings" not in weights:
        return weights
    return weights.rename(
        lambda name: name if name.startswith(HEADS) else f"{scope}.{name}"
    )


def name_from_timm(name: str, scope: str) -> str:
    """transformers' name of a tensor of timm's, as a model without a head has it.

    >>> name_from_timm("blocks.3.mlp.fc1.weight", "vit")
    'encoder.layer.3.intermediate.dense.weight'
    """
    if name.startswith("head_dist."):
        return name.replace("head_dist.", "distillation_classifier.")
    if name.startswith("head."):
        return name.replace("head.", HEADS[scope == "deit"])
    for pattern, word in WORDS:
        name = re.sub(pattern, word, name)
    return name


def _split(weights):
    """Queries, keys and values each under a name of their own."""
    parts, fused = {}, set()
    for name in weights:
        match = QKV.fullmatch(name)
        if match is None or weights.tensor(name).shape[0] % 3:
            continue
        fused.add(name)
        for third, part in enumerate(("query", "key", "value")):
            ours = f"blocks.{match[1]}.attention.attention.{part}.{match[2]}"
            parts[ours] = Third(weights.tensor(name), third)
    kept = weights.rename(lambda name: None if name in fused else name)
    return kept.add(parts)


class Third(Tensor):
    """One of the three tensors that lie one above the other in a fused one."""

    __slots__ = ("_array", "_rows", "_tensor", "shape")

    def __init__(self, tensor: Tensor, third: int):
        rows = tensor.shape[0] // 3
        self.shape = (rows, *tensor.shape[1:])
        self._tensor, self._rows = tensor, slice(third * rows, (third + 1) * rows)
        self._array = None

    @property
    def is_floating(self) -> bool:
        return self._tensor.is_floating

    @property
    def nbytes(self) -> int:
        return self._tensor.nbytes // 3

    def array(self):
        """A view of the fused tensor, the same one each time."""
        if self._array is None:
            self._array = self._tensor.array()[self._rows]
        return self._array


SIZES = {
    "tiny": {"hidden_size": 192, "num_attention_heads": 3},
    "small": {"hidden_size": 384, "num_attention_heads": 6},
    "base": {"hidden_size": 768, "num_attention_heads": 12},
    "large": {"hidden_size": 1024, "num_attention_heads": 16},
}
ARCHITECTURE = re.compile(
    r"(vit|deit)_(tiny|small|base|large)(_distilled)?_patch(\d{1,3})_(\d{1,4})"
)
ARGUMENTS = {
    "embed_dim": "hidden_size",
    "depth": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "img_size": "image_size",
    "patch_size": "patch_size",
    "qkv_bias": "qkv_bias",
}


def document_of_timm(document: Mapping[str, Any]) -> dict[str, Any]:
    """timm's config.json in transformers' words: sizes by the architecture's name, and
    by `model_args` where they differ."""
    name = str(document.get("architecture"))
    match = ARCHITECTURE.fullmatch(name.partition(".")[0])
    if match is None:
        raise fields.ConfigError(
            f"config.json: architecture is {name!r:.60}, but of timm's only "
            "vit_ and deit_ of the sizes tiny, small, base and large are known, as "
            f"vit_small_patch16_224, and {', '.join(BACKBONES)}"
        )
    arguments = document.get("model_args") or {}
    if not isinstance(arguments, Mapping):
        raise fields.ConfigError(
            f"config.json: model_args must be an object, not {arguments!r:.60}"
        )
    fields.only(document, "global_pool", "token", default="token")
    unknown = arguments.keys() - {*ARGUMENTS, "num_classes", "mlp_ratio"}
    if unknown:
        raise fields.ConfigError(
            f"config.json: model_args has {sorted(unknown)!r:.60}, which may change "
            "the model in a way that is not known here; known are "
            f"{', '.join(ARGUMENTS)}"
        )
    made = {
        **SIZES[match[2]],
        "patch_size": int(match[4]),
        "image_size": int(match[5]),
        **{ARGUMENTS[k]: v for k, v in arguments.items() if k in ARGUMENTS},
    }
    width = fields.whole(made, "hidden_size", high=1 << 16)
    ratio = fields.number(arguments, "mlp_ratio", 4.0, high=64.0)
    layers = 24 if match[2] == "large" else 12
    return {
        "model_type": "deit" if match[3] else "vit",
        "num_hidden_layers": layers,
        "intermediate_size": int(width * ratio),
        "layer_norm_eps": 1e-6,
        "num_labels": fields.whole(document, "num_classes", 1000, low=0),
        **made,
    }


def config_of_timm(document: Mapping[str, Any]) -> ViTConfig:
    """The configuration of a model that timm published."""
    return ViTConfig.from_json(document_of_timm(document))
