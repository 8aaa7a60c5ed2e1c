"""The towers that other models lend: what differs between them, in one table.

    tower = TOWERS["clip_vision_model"]
    config = tower.from_json(vision_config)
    seen = tower.look(pixels, weights, config, layer=-2)    # (b, 1 + patches, width)

Each cuts a picture into patches and puts a class token before them. The keys are what
a section of config.json calls `model_type`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from . import clip, vit
from .clip_config import VISION_KIND, VisionConfig
from .vit_config import ViTConfig


class LentTower(NamedTuple):
    """A tower: how it is configured, its tensors, and how it looks.

    `whole(pixels, weights, config)` gives its tokens with its last norm on them,
    `hidden(pixels, weights, config, layer)` those between two of its blocks.
    """

    from_json: Callable
    shapes: Callable
    whole: Callable
    hidden: Callable

    def look(self, pixels, weights, config, layer: int | None = None):
        """Pictures (b, 3, h, w) to a class token and patches, (b, 1 + n, width)."""
        if layer is None:
            return self.whole(pixels, weights, config)
        return self.hidden(pixels, weights, config, layer)


TOWERS = {
    VISION_KIND: LentTower(
        from_json=VisionConfig.from_json,
        shapes=clip.vision_shapes,
        whole=clip.vision_tower,
        hidden=clip.vision_hidden,
    ),
    "vit": LentTower(
        from_json=ViTConfig.from_json,
        shapes=vit.expected_shapes,
        whole=vit.vit,
        hidden=vit.vit_hidden,
    ),
}
