"""How well two towers meet, on scenes that neither has seen: the numbers of a card.

    zero-shot   a picture of one object, and 48 classes: 8 colours times 6 shapes
    retrieval   100 pictures and their 100 captions, no two with the same objects

Both are of fresh seeds. Pairs of colour and shape that training held apart are scored
by themselves, among the same 48 classes.

A class is written down twice, as large and as small. Phrasings of one thing are
averaged; different things are not, and the nearest of both names the class.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from .. import scenes
from ..scenes.beyond import ALONE
from ..scenes.pairing import PROMPTS, caption, different
from ..scenes.world import PAIRS
from .limits import drawn, over_rounds
from .shares import Share, Spread, share_of
from .zero_shot import retrieval_ranks, zero_shot_classifier

CLASSES = tuple(" ".join(pair) for pair in PAIRS)
THINGS = tuple(f"{size} {name}" for size in scenes.SIZES for name in CLASSES)
CANDIDATES = 100
AT_ONCE = 100


class Towers(Protocol):
    """What is asked of a model: `pretrained.clip.CLIP` has it."""

    def image_features(self, pictures): ...

    def text_features(self, texts): ...


def clip_scores(
    model: Towers,
    pictures: int = 1000,
    rounds: int = 10,
    seed: int = 2**31,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, dict[str, Share]]:
    """test -> heading -> share: so many pictures of each split, named, and so many
    rounds of retrieval.

    The seed is one that training never reaches: it counts from small numbers.
    """
    rng = np.random.default_rng(seed)
    things = thing_directions(model)
    scores = {
        split: named(model, things, rng, split, pictures, progress)
        for split in scenes.SPLITS
    }
    return scores | {"retrieval": retrieved(model, rng, rounds)}


def named(model: Towers, things, rng, split: str, count: int, progress=None):
    """heading -> share: pictures of one object of a split, named whole and in part."""
    drawn = [scenes.sample(rng, split, count=1) for _ in range(count)]
    said = []
    for start in range(0, count, AT_ONCE):
        batch = drawn[start : start + AT_ONCE]
        said += names(model, [scenes.draw(scene) for scene in batch], things)
        if progress is not None:
            progress(len(said), count)
    pairs = [scene.objects[0].pair for scene in drawn]
    words = [tuple(name.split()) for name in said]
    return {
        "zero-shot": share_of(map(operator.eq, words, pairs)),
        "colour": share_of(word[0] == pair[0] for word, pair in zip(words, pairs)),
        "shape": share_of(word[1] == pair[1] for word, pair in zip(words, pairs)),
    }


def named_limits(
    model: Towers, count: int, seed: int, progress=None
) -> Iterator[tuple[str, dict[str, Spread]]]:
    """("zero-shot", family -> spread): single objects unlike those of training."""
    things = thing_directions(model)

    def one_round(number, seed):
        shares = {}
        for name, family in ALONE.items():
            some, pictures = drawn(family, name, number, seed)
            said = names(model, pictures, things)
            pairs = [" ".join(scene.objects[0].pair) for scene in some]
            shares[name] = share_of(map(operator.eq, said, pairs))
        return {"zero-shot": shares}

    yield from over_rounds(one_round, count, seed, progress).items()


def retrieved(model: Towers, rng, rounds: int) -> dict[str, Share]:
    """heading -> share: the right one of 100 candidates first, or among five."""
    cosines = [similarities(model, rng) for _ in range(rounds)]
    ranks = {
        "image to text": np.ravel([retrieval_ranks(s) for s in cosines]),
        "text to image": np.ravel([retrieval_ranks(s.T) for s in cosines]),
    }
    return {
        f"{direction}, first {k}": share_of(places < k)
        for k in (1, 5)
        for direction, places in ranks.items()
    }


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
