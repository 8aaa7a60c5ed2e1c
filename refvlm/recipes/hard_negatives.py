r"""The recipe of some hundred steps among hard negatives, from `weights/clip-tiny` on.

    plain      clip-tiny's own batches and its own loss: the fair control
    batches    every other batch is a grid, 4 colours by all shapes: beside each picture
               stand the same colour in other shapes, the same shape in other colours
    mined      clip-tiny's batches, and beside its loss
$$L = L_{CLIP} + \tfrac12 L_{ITC}(v \to t) + \tfrac12 L_{ITC}(t \to v)$$
               over the k most similar wrong ones of each row

Does it help with pairs of colour and shape that no training has shown? They are in none
of the batches. Source: [Cortes] 6.5, hard negative mining; Yuksekgonul et al.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .. import checkpoint, ops, scenes, text
from ..autodiff import value_of
from ..blocks.training_mode import Training
from ..models import clip
from ..objectives.contrastive import itc_loss, logit_scale, mine_hard_negatives
from ..pretrained.shipped import shipped
from ..scenes.pairing import caption, contents
from ..train.loop import Recipe, Stage
from ..train.state import State
from . import clip_tiny
from .pixels import to_pixels
from .rounded import matching
from .seeing import cells_of

ARMS = ("plain", "batches", "mined")
STEPS, PEAK, FLOOR = 300, 1e-3, 0.01
COLOURS_IN_A_GRID = 4
MINED = 4  # wrong texts of each picture, wrong pictures of each text


def recipe(arm: str, steps: int = STEPS, peak: float = PEAK, seed: int = 1):
    """The recipe of one arm; the seed is that of the scenes."""
    if arm not in ARMS:
        raise ValueError(f"no arm {arm!r:.40}: there are {', '.join(ARMS)}")
    return HardNegatives(arm, steps, peak, seed)


class HardNegatives(Recipe):
    """Where the weights start, the batch of every step, and the loss."""

    def __init__(self, arm: str, steps: int, peak: float, seed: int):
        self.name, self.arm, self.seed = f"clip-tiny-{arm}", arm, seed
        tokenizer = text.load_tokenizer(shipped("clip-tiny"))
        self.base = clip_tiny.CLIPTiny(tokenizer, 0, steps, seed)
        self.optimizer = self.base.optimizer
        self.max_norm, self.momentum = self.base.max_norm, self.base.momentum
        self.stages = (Stage("match", steps, peak, steps // 10, FLOOR),)
        self.start = checkpoint.load(shipped("clip-tiny"))

    def initial(self) -> dict[str, np.ndarray]:
        """The published weights."""
        return {n: self.start[n] for n in self.start if self.start.is_floating(n)}

    def batch(self, step: int):
        """clip-tiny's own; of the arm `batches`, a grid in every other step."""
        if self.arm != "batches" or step % 2 == 0:
            return self.base.batch(step)
        rng = np.random.default_rng([self.seed, 5, step])
        drawn = grid(rng, clip_tiny.BATCH["match"])
        ids = [self.base.token_ids(caption(scene, rng)) for scene in drawn]
        pixels = to_pixels([scenes.draw(scene, clip_tiny.SIDE) for scene in drawn])
        cells = cells_of(drawn, clip_tiny.GRID)
        return [clip_tiny.Pairs(pixels, cells, len(drawn), clip.padded(ids))]

    def loss(self, weights, pairs, training: Training, stage: Stage):
        """CLIP's, and where the arm says so that of the mined ones."""
        if self.arm != "mined":
            return matching(self.base, weights, pairs, training)
        config = self.base.config
        images = clip.image_features(pairs.pixels, weights, config)
        texts = clip.text_features(pairs.ids, weights, config)
        scale = logit_scale(clip_tiny.clamped(weights[clip.LOGIT_SCALE]))
        return mined_loss(images, texts, scale), {"pictures": len(pairs.pixels)}


def mined_loss(images, texts, scale):
    """CLIP's loss and that of the most similar wrong ones, by the same cosines."""
    scores = ops.cosine_similarity_matrix(images, texts, eps=1e-12) * scale
    rows = np.arange(len(scores))
    loss = 0.0
    for side in (scores, scores.swapaxes(0, 1)):
        wrong = mine_hard_negatives(value_of(side), k=MINED)
        negatives = side[rows[:, None], wrong]
        every = ops.cross_entropy(side, rows)
        loss = loss + 0.5 * (every + itc_loss(side[rows, rows], negatives, 1.0))
    return loss


def grid(rng: np.random.Generator, count: int):
    """Single objects in 4 colours and every shape and size that training has of them,
    no two alike."""
    colours = rng.choice(scenes.COLOURS, COLOURS_IN_A_GRID, replace=False).tolist()
    found: dict = {}
    while len(found) < count:
        scene = scenes.sample(rng, count=1)
        if scene.objects[0].colour in colours:
            found.setdefault(contents(scene), scene)
    return list(found.values())


def publish(recipe: HardNegatives, state: State, directory: str | Path) -> None:
    """Write the two towers of a run in Hugging Face's layout."""
    clip_tiny.publish(recipe.base, state, directory)
