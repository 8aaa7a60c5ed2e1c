"""Names for the tensors of a MicroVLM: its tower's may be timm's.

The source builds DeiT with timm, whose names then stand behind `vision_encoder.`; ours
are transformers', as everywhere. All other tensors have one name.
"""

from __future__ import annotations

from ..checkpoint import Weights
from . import vit_names
from .microvlm import TOWER

UNUSED = ("classifier.*", "cls_classifier.*", "distillation_classifier.*")
"""What a tower that was trained to classify has beyond what looks."""


def canonical(weights: Weights) -> Weights:
    """The weights with a tower under transformers' names, whichever it came in."""
    tower = weights.scope(TOWER)
    if "pos_embed" not in tower:
        return weights
    named = vit_names.canonical(tower, TOWER)
    rest = weights.rename(lambda name: None if name.startswith(f"{TOWER}.") else name)
    return rest.add({name: named.tensor(name) for name in named})
