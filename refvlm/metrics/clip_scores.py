"""How well two towers meet, on scenes that neither has seen: the numbers of a card.

    zero-shot   a picture of one object, and 48 classes: 8 colours times 6 shapes
    retrieval   100 pictures and their 100 captions, no two with the same objects

Both are of fresh seeds. Pairs of colour and shape that training held apart are scored
by themselves, among the same 48 classes.

A class is written down twice, as large and as small. Phrasings of one thing are
averaged; different things are not, and the nearest of both names the class.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np

from .. import scenes
from ..scenes.pairing import PROMPTS, caption, different
from ..scenes.world import PAIRS
from .zero_shot import recall_at_k, zero_shot_classifier

CLASSES = tuple(" ".join(pair) for pair in PAIRS)
THINGS = tuple(f"{size} {name}" for size in scenes.SIZES for name in CLASSES)
CANDIDATES = 100


class Towers(Protocol):
    """What is asked of a model: `pretrained.clip.CLIP` has it."""

    def image_features(self, pictures): ...

    def text_features(self, texts): ...


def clip_scores(
    model: Towers, pictures: int = 1000, rounds: int = 10, seed: int = 2**31
) -> dict[str, float]:
    """Zero-shot accuracy on so many pictures of each split, and recall in so many
    rounds of 100 candidates: a share for each name.

    The seed is one that training never reaches: it counts from small numbers.
    """
    rng = np.random.default_rng(seed)
    things = thing_directions(model)
    scores = {}
    for split, kind in zip(scenes.SPLITS, ("known", "unseen")):
        drawn = [scenes.sample(rng, split, count=1) for _ in range(pictures)]
        named = names(model, [scenes.draw(scene) for scene in drawn], things)
        right = [" ".join(scene.objects[0].pair) for scene in drawn]
        scores[f"zero-shot, {kind} pairs"] = _share(named, right)
        colours, shapes = zip(*(name.split() for name in named))
        shown = [scene.objects[0] for scene in drawn]
        of_colours = _share(colours, [thing.colour for thing in shown])
        scores[f"zero-shot, {kind} pairs, colour"] = of_colours
        of_shapes = _share(shapes, [thing.shape for thing in shown])
        scores[f"zero-shot, {kind} pairs, shape"] = of_shapes
    found = [similarities(model, rng) for _ in range(rounds)]
    for k in (1, 5):
        scores[f"image to text, first {k}"] = _mean(recall_at_k(s, k) for s in found)
        scores[f"text to image, first {k}"] = _mean(recall_at_k(s.T, k) for s in found)
    return scores


def thing_directions(model: Towers) -> np.ndarray:
    """A direction for each of `THINGS`, (96, d), by the phrases of training."""
    return zero_shot_classifier(PROMPTS, THINGS, model.text_features)


def names(model: Towers, pictures, things: np.ndarray) -> list[str]:
    """The class of the thing that each picture points to most."""
    nearest = (model.image_features(pictures) @ things.T).argmax(axis=1)
    return [CLASSES[i % len(CLASSES)] for i in nearest]


def similarities(model: Towers, rng: np.random.Generator) -> np.ndarray:
    """The cosines of 100 pictures of one or two objects with their captions."""
    drawn = different(rng, CANDIDATES)
    texts = [caption(scene, rng) for scene in drawn]
    images = model.image_features([scenes.draw(scene) for scene in drawn])
    return images @ model.text_features(texts).T


def _share(said, right):
    return _mean(one == other for one, other in zip(said, right, strict=True))


def _mean(values):
    return float(np.mean([*values]))
