r"""The recipe of a model that learns to be rounded: some hundred steps, in few bits.

    published weights --(round forward, straight through back)--> masters --quantize-->

It goes on where `weights/fastvlm-tiny` or `weights/clip-tiny` ended: the same batches
of fresh scenes under another seed, the same optimiser at a smaller rate, and the same
loss, but for the questions to the map's cells (seeing.py), whose linear map was thrown
away. The tower is the published one, its branches folded; the batch norms that it still
has go on gathering statistics. With no scheme nothing is rounded: the fair control, for
whatever a few hundred more steps do by themselves.

    recipe = rounded.recipe("fastvlm-tiny", "int2", steps=300, peak=1e-3)
    state = running.run(recipe, "runs/fastvlm-tiny-int2")       # resumes, as any run
    rounded.publish(recipe, state, "runs/fastvlm-tiny-int2/model")
    pretrained.quantize("runs/fastvlm-tiny-int2/model", "fastvlm-tiny-int2", "int2")
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from .. import checkpoint, pretrained, text
from ..autodiff import value_of
from ..blocks.training_mode import Training
from ..models import clip, fastvlm
from ..models.fastvithd import fastvithd
from ..pretrained.linear_matrices import linear_matrices
from ..pretrained.shipped import shipped
from ..quantize import SCHEMES
from ..train.loop import Recipe, Stage
from ..train.quantization_aware import with_rounded
from ..train.state import State
from . import clip_tiny, fastvlm_tiny

STEPS, PEAK, FLOOR = 300, 3e-4, 0.01
UNROUNDED = "float"  # stands for a scheme in the name of the control


def recipe(
    model: str, scheme: str | None, steps: int = STEPS, peak: float = PEAK, seed=1
) -> Rounded:
    """The recipe that goes on with a model that comes along, in this scheme or none.

    The seed is that of the scenes; the model itself was trained with seed 0.
    """
    if model not in MODELS:
        raise ValueError(f"no model {model!r:.40} to go on with: {', '.join(MODELS)}")
    if scheme is not None and scheme not in SCHEMES:
        raise ValueError(f"no scheme {scheme!r:.40}: there are {', '.join(SCHEMES)}")
    return Rounded(model, scheme, steps, peak, seed)


class Rounded(Recipe):
    """Where the weights start, the batch of every step, and the loss in few bits."""

    def __init__(
        self, model: str, scheme: str | None, steps: int, peak: float, seed: int
    ):
        self.model = MODELS[model]
        self.tokenizer = text.load_tokenizer(shipped(model))
        self.base = self.model.recipe(self.tokenizer, 0, steps, seed)
        self.name, self.optimizer = (
            f"{model}-{scheme or UNROUNDED}",
            self.base.optimizer,
        )
        self.max_norm, self.momentum = self.base.max_norm, self.base.momentum
        self.stages = (Stage("round", steps, peak, steps // 10, FLOOR),)
        self.rounding = SCHEMES[scheme].rounded if scheme else None
        self.start = checkpoint.load(shipped(model))
        self.matrices = matrices_of(model) if scheme else []

    def initial(self) -> dict[str, np.ndarray]:
        """The published weights; what is counted in whole numbers learns nothing."""
        return {n: self.start[n] for n in self.start if self.start.is_floating(n)}

    def batch(self, step: int) -> list[Any]:
        """Fresh scenes, as in the training before; every scheme has the same ones."""
        return self.base.batch(step)

    def loss(self, weights, shard, training: Training, stage: Stage):
        """The shard's share of what the rounded model gets wrong."""
        shown = weights
        if self.rounding:
            shown = with_rounded(weights, self.matrices, self.rounding)
        return self.model.loss(self.base, shown, shard, training)


def publish(recipe: Rounded, state: State, directory: str | Path) -> None:
    """Write the model of a run with its fine matrices, the masters.

    `quantize` in the recipe's scheme makes of it what training showed. Of matrices that
    are rounded already it would not: in three values the scale is a mean, and the mean
    of what was rounded is another one.
    """
    recipe.model.file.publish(recipe.base, state, directory)


def matrices_of(model: str) -> list[str]:
    """The names of what is rounded: what `python -m refvlm quantize` packs."""
    directory, document = pretrained.opened(shipped(model))
    found = linear_matrices(checkpoint.load(directory), document)
    return [matrix.name for matrix in found]


def speaking(base, weights, shard, training: Training):
    """(loss, parts) of the captions and answers of a FastVLM."""
    tower = weights.scope(fastvlm.TOWER)
    features = fastvithd(shard.pixels, tower, base.config.vision, training)
    image = fastvlm.projector(features, weights.scope(fastvlm.PROJECTOR))
    spoken = base.speaking_loss(image, weights, shard)
    parts = {"speaking": float(value_of(spoken)), "tokens": shard.packed.ids.size}
    return spoken, parts


def matching(base, weights, pairs, training: Training):
    """(loss, parts) of the pictures and texts of a CLIP."""
    tower = weights.scope(clip.VISION)
    tokens = clip.vision_tower(pairs.pixels, tower, base.config.vision)
    matched, parts = base.matching_loss(tokens, weights, pairs)
    return matched, {**parts, "pictures": len(pairs.pixels)}


class Model(NamedTuple):
    """What is gone on with: the file of its recipe, the recipe itself, made of its
    tokenizer, and the loss without the heads that were not published."""

    file: ModuleType
    recipe: Callable[..., Any]
    loss: Callable


MODELS = {
    "fastvlm-tiny": Model(fastvlm_tiny, fastvlm_tiny.FastVLMTiny, speaking),
    "clip-tiny": Model(clip_tiny, clip_tiny.CLIPTiny, matching),
}
