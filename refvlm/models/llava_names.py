"""Three names for every tensor of a LLaVA, by the year in which a file was written.

The first conversions under llava-hf keep the parts as they were found: a decoder with
its own `model.` and `lm_head.`, a tower with its own `vision_model.`. transformers 5
writes these names to this day, but for the tower's. What it computes with, and what
some of its versions wrote, begins with `model.` for each part. Ours are the last.
"""

from __future__ import annotations

import re

from ..checkpoint import Weights

# What a name began with -> what it begins with; the first that fits.
PREFIXES = {
    "language_model.lm_head.": "lm_head.",
    "language_model.model.": "model.language_model.",
    "language_model.": "model.language_model.",
    "vision_tower.": "model.vision_tower.",
    "multi_modal_projector.": "model.multi_modal_projector.",
}


def canonical(weights: Weights) -> Weights:
    """The weights of a LLaVA under the names of today, whichever they came in."""
    changed = {name: current_name(name) for name in weights}
    if all(name == new for name, new in changed.items()):
        return weights
    return weights.rename(current_name)


def current_name(name: str) -> str:
    """Today's name of a tensor that was published by another.

    >>> current_name("language_model.model.layers.0.mlp.up_proj.weight")
    'model.language_model.layers.0.mlp.up_proj.weight'
    >>> current_name("vision_tower.vision_model.pre_layrnorm.bias")
    'model.vision_tower.pre_layrnorm.bias'
    >>> current_name("language_model.lm_head.weight")
    'lm_head.weight'
    """
    for old, new in PREFIXES.items():
        if name.startswith(old):
            name = new + name.removeprefix(old)
            break
    return re.sub(r"^(model\.vision_tower\.)vision_model\.", r"\1", name)
