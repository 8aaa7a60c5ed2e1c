r"""The recipe of `weights/clip-tiny`: two small towers that meet over scenes.

    stage 1  see    the tower that looks learns what is where          (seeing.py)
    stage 2  match  pictures and texts find each other, and it goes on seeing

$$L = L_{CLIP} + \tfrac12 L_{seeing}$$

A batch of b pictures is b questions with b answers each, of which one is right. So no
two scenes of a batch hold the same objects: their captions would be right for both. And
all of them are of few colours: with eight, colours alone would answer most questions,
and shapes, which are harder to see, would be learnt late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .. import image, ops, scenes, text
from ..autodiff import value_of
from ..blocks.training_mode import Training
from ..metrics.clip_scores import CANDIDATES, clip_scores, named_limits
from ..metrics.shares import Share, Spread
from ..models import clip
from ..models.clip_config import CLIPConfig
from ..objectives.contrastive import (
    FIRST_SCALE,
    LARGEST_SCALE,
    clamp_logit_scale,
    clip_loss,
    logit_scale,
)
from ..pretrained import CLIP
from ..scenes.pairing import caption, different
from ..text.bpe.learning import train_byte_level
from ..text.chat import END, NOTHING, START
from ..train.initialization import initial_weights
from ..train.loop import Recipe, Stage, stage_of
from ..train.optimizers import AdamW, matrices_only
from ..train.state import State
from . import publishing
from .pixels import to_pixels
from .seeing import SEEING, SEEING_WEIGHT, Cells, cells_of, seeing_loss, seeing_shapes

MODEL = CLIP  # what `refvlm.load` makes of what is published
CONFIG = CLIPConfig

SIDE, PATCH = 64, 8
GRID = SIDE // PATCH
SEE, MATCH = 4500, 4500  # steps
BATCH = {"see": 16, "match": 32}
COLOURS_AT_ONCE = 3  # in a batch that is to match
VOCABULARY = 512  # at most; the captions have fewer words
LARGER = 0.25  # how often it is drawn at twice the size and shrunk
MARKERS = START, END, NOTHING  # an end of id 2 would mean something else to CLIP

VISION: dict[str, Any] = {
    "model_type": "clip_vision_model",
    "hidden_size": 96,
    "intermediate_size": 384,
    "num_hidden_layers": 3,
    "num_attention_heads": 3,
    "image_size": SIDE,
    "patch_size": PATCH,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "projection_dim": 64,
}
TEXT = {
    "model_type": "clip_text_model",
    "hidden_size": 96,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "max_position_embeddings": 64,
    "hidden_act": "quick_gelu",
    "layer_norm_eps": 1e-5,
    "projection_dim": 64,
}


def recipe(see: int = SEE, match: int = MATCH, seed: int = 0) -> CLIPTiny:
    """The recipe as it was used, or with other numbers of steps and another seed."""
    return CLIPTiny(caption_tokenizer(), see, match, seed)


def caption_tokenizer(scenes_seen: int = 2000) -> text.Tokenizer:
    """Every word of the captions becomes one token; each text is framed by two markers.

    The held-out pairs are not in the texts that it learns from; their words are.
    """
    rng = np.random.default_rng(0)
    said = [
        caption(scenes.sample(rng, count=1 + i % 2), rng) for i in range(scenes_seen)
    ]
    return train_byte_level(said, VOCABULARY, MARKERS).framed(START, END)


class Pairs(NamedTuple):
    """A batch: pictures, what is in their patches, and a text for each as ids."""

    pixels: np.ndarray
    cells: Cells
    objects: int
    ids: np.ndarray | None


class CLIPTiny(Recipe):
    """Where the weights start, the batch of every step, and the loss."""

    name = "clip-tiny"
    max_norm = 5.0
    momentum = 0.1

    def __init__(self, tokenizer: text.Tokenizer, see: int, match: int, seed: int = 0):
        self.tokenizer, self.seed = tokenizer, seed
        self.config = CLIPConfig.from_json(config_json(tokenizer))
        self.stages = (
            Stage("see", see, 3e-3, min(100, see // 5), 0.5, _sees),
            Stage("match", match, 2e-3, min(100, match // 5), 0.01),
        )
        self.optimizer = AdamW(
            betas=(0.9, 0.98),
            weight_decay=matrices_only(0.05),
        )

    def initial(self) -> dict[str, np.ndarray]:
        """The weights before the first step, a function of the seed."""
        width = self.config.vision.hidden_size
        shapes = clip.expected_shapes(self.config)
        shapes |= seeing_shapes(width)
        weights = initial_weights(shapes, np.random.default_rng([self.seed, 0]))
        weights[clip.LOGIT_SCALE] = np.array(FIRST_SCALE, np.float32)
        return weights

    def batch(self, step: int) -> list[Pairs]:
        """Fresh scenes and their pictures; in the second stage, a text for each."""
        rng = np.random.default_rng([self.seed, 1, step])
        stage, _ = stage_of(self, step)
        if stage.name == "see":
            drawn, ids = [scenes.sample(rng) for _ in range(BATCH["see"])], None
        else:
            colours = rng.choice(scenes.COLOURS, COLOURS_AT_ONCE, replace=False)
            drawn = different(rng, BATCH["match"], colours.tolist())
            ids = clip.padded([self.token_ids(caption(scene, rng)) for scene in drawn])
        larger = rng.random(len(drawn)) < LARGER
        pixels = to_pixels([_draw(scene, twice) for scene, twice in zip(drawn, larger)])
        objects = sum(len(scene.objects) for scene in drawn)
        return [Pairs(pixels, cells_of(drawn, GRID), objects, ids)]

    def token_ids(self, caption: str) -> list[int]:
        """A text in the tokenizer's frame: start, text, end."""
        if caption not in self._known:
            before, after = self.tokenizer.frame
            ids = self.tokenizer.encode(caption, markers=False)
            self._known[caption] = [*before, *ids, *after]
        return self._known[caption]

    @cached_property
    def _known(self):
        return {}

    def loss(self, weights, pairs: Pairs, training: Training, stage: Stage):
        """The loss of the batch, and what is worth noting about it."""
        tower = weights.scope(clip.VISION)
        tokens = clip.vision_tower(pairs.pixels, tower, self.config.vision)
        seeing = weights.scope(SEEING)
        unseen, seen = seeing_loss(tokens[:, 1:], seeing, pairs.cells, pairs.objects)
        parts = {"seeing": float(value_of(unseen)), "seen": seen}
        parts["pictures"] = len(pairs.pixels)
        if stage.name == "see":
            return unseen, parts
        matching, noted = self.matching_loss(tokens, weights, pairs)
        return matching + unseen * SEEING_WEIGHT, parts | noted

    def matching_loss(self, tokens, weights, pairs: Pairs):
        """How badly pictures and texts find each other, and what is worth noting."""
        images = ops.linear(tokens[:, 0], weights[clip.VISUAL_PROJECTION])
        texts = clip.text_features(pairs.ids, weights, self.config)
        scale = logit_scale(clamped(weights[clip.LOGIT_SCALE]))
        matching = clip_loss(images, texts, 1 / scale)
        return matching, {
            "matching": float(value_of(matching)),
            "scale": float(value_of(scale)),
        }


def clamped(log_scale):
    """`clamp_logit_scale` inside a loss: beyond its bound, the scale learns no more."""
    return np.where(value_of(log_scale) < LARGEST_SCALE, log_scale, LARGEST_SCALE)


def config_json(tokenizer: text.Tokenizer) -> dict[str, Any]:
    """The model's `config.json`, as transformers reads it."""
    before, after = tokenizer.frame
    if not before or not after:
        raise text.TokenizerError(
            f"{tokenizer.origin}: its file must put a start and an end around a text: "
            "give it a post_processor"
        )
    ends = {"bos_token_id": before[0], "eos_token_id": after[-1]}
    return {
        "model_type": "clip",
        "architectures": ["CLIPModel"],
        "projection_dim": VISION["projection_dim"],
        "logit_scale_init_value": FIRST_SCALE,
        "vision_config": VISION,
        "text_config": TEXT
        | {"vocab_size": len(tokenizer), **ends, "pad_token_id": after[-1]},
    }


def publish(recipe: CLIPTiny, state: State, directory: str | Path) -> None:
    """Write the two towers of a run in Hugging Face's layout."""
    tensors = publishing.learnt(state)
    scale = clamp_logit_scale(np.asarray(tensors[clip.LOGIT_SCALE]))
    publishing.write(
        directory,
        tensors | {clip.LOGIT_SCALE: scale},
        recipe,
        state,
        SIDE,
        config=config_json(recipe.tokenizer),
    )


def score(
    model: CLIP, count: int, seed: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, dict[str, Share]]]:
    """Objects named in `count` fresh pictures of each split, and captions found, of as
    many pictures, in whole rounds."""
    fresh = 2**31 + seed  # the seeds of training are small numbers
    rounds = -(-count // CANDIDATES)
    yield from clip_scores(model, count, rounds, fresh, progress).items()


def limits(
    model: CLIP, count: int, seed: int, progress: Callable[[int, int], None]
) -> Iterator[tuple[str, dict[str, Spread]]]:
    """Single objects unlike those of training: where it ends."""
    yield from named_limits(model, count, seed, progress)


def _sees(name):
    return name.startswith((clip.VISION, SEEING))


def _draw(scene, twice):
    if not twice:
        return scenes.draw(scene, SIDE)
    return image.resize(scenes.draw(scene, 2 * SIDE), SIDE, SIDE)
