"""From a finished run of `train/clip_tiny.py` to a directory that anyone can load.

config.json  model.safetensors  tokenizer.json  preprocessor_config.json
training.csv
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from . import pretrained, publishing
from .models import clip
from .train.clip_tiny import SIDE, CLIPTiny, config_json
from .train.contrastive_objectives import clamp_logit_scale
from .train.fastvlm_tiny import SEEING
from .train.state import State

PREPROCESSOR = publishing.PREPROCESSOR | {
    "size": {"shortest_edge": SIDE},
    "crop_size": {"height": SIDE, "width": SIDE},
}


def publish_clip(recipe: CLIPTiny, state: State, directory: str | Path) -> None:
    """Write the two towers of a run in Hugging Face's layout."""
    towers = {n: a for n, a in state.tensors.items() if not n.startswith(SEEING)}
    scale = clamp_logit_scale(np.asarray(towers[clip.LOGIT_SCALE]))
    pretrained.save(
        directory,
        {**towers, clip.LOGIT_SCALE: scale},
        recipe.tokenizer,
        config=config_json(recipe.tokenizer),
        preprocessor_config=PREPROCESSOR,
    )
    publishing.write_curve(Path(directory) / publishing.CURVE, state)
