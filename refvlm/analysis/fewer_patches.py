r"""A CLIP whose tower goes on with fewer patches after its first layers.

It has the two methods that its scores ask for: `image_features` and `text_features`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .. import ops
from ..arguments import several
from ..blocks.token_reduction import layers
from ..blocks.token_reduction.budget import layer_flops
from ..models import thinned_clip
from ..models.clip_config import VisionConfig

WAYS: dict[str, Callable[[np.random.Generator], layers.Thin]] = {
    "random": layers.prune_by_chance,
    "norm": lambda rng: layers.prune_short,
    "attention": lambda rng: layers.prune_unlooked,
    "merged": lambda rng: layers.merge_alike,
    "clusters": layers.cluster_alike,
}


class FewerPatches:
    """A CLIP with `keep` patches left in its last layers, in one of the `WAYS`.

    Half of them go after the first layer, the others after the second (`plan`).
    Without `proportional`, a patch that stands for several is looked at as one.
    """

    def __init__(self, clip, keep: int, way: str, seed: int = 0, proportional=True):
        if way not in WAYS:
            raise ValueError(
                f"FewerPatches: way is {way!r:.40}, not one of {', '.join(WAYS)}"
            )
        self.clip, self.proportional = clip, proportional
        self.plan = plan(clip.config.vision, keep)
        self.thin = WAYS[way](np.random.default_rng(seed))

    def image_features(self, pictures) -> np.ndarray:
        """A direction for each picture, (n, d)."""
        pictures = several("image_features", "pictures", pictures)
        pixels = self.clip.preprocessor.batch(pictures).astype(np.float32, copy=False)
        seen = thinned_clip.image_features(
            pixels,
            self.clip.weights,
            self.clip.config,
            self.plan,
            self.thin,
            self.proportional,
        )
        return ops.normalize(seen, dim=-1)

    def text_features(self, texts) -> np.ndarray:
        """A direction for each text, (n, d): of a text nothing is left out."""
        return self.clip.text_features(texts)


def plan(vision: VisionConfig, keep: int) -> tuple[int, ...]:
    """How many patches are left after each layer: half of what goes, then the rest.

    >>> plan(VisionConfig(96, 384, 3, 3, image_size=64, patch_size=8), 16)
    (40, 16, 16)
    """
    layers, patches = vision.num_hidden_layers, vision.patches
    if layers < 2:
        raise ValueError("FewerPatches: a tower of one layer has nowhere to save")
    first = patches - (patches - keep) // 2
    return (first, *[keep] * (layers - 1))


def tower_flops(vision: VisionConfig, plan) -> int:
    """Operations of the layers: each attention sees what the last layer left, each
    feed-forward network what its own does. What choosing costs is not counted."""
    width, hidden = vision.hidden_size, vision.intermediate_size
    flops, before = 0, vision.patches
    for left in map(int, plan):  # NumPy's overflow
        attends = layer_flops(before + 1, width, hidden)
        feeds = 4 * width * hidden
        flops += attends - feeds * (before - left)
        before = left
    return flops
