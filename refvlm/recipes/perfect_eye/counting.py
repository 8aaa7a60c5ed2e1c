"""What a trained memory recalls: counted, asked whether it knows, and shown.

Episodes are fresh, and scenes, too, unless said. A memory may be that of another
episode, or none; then what is left are guesses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from ...blocks.episodic_memory.reading import novelty
from ...checkpoint import Weights
from ...metrics.shares import Share, share_above
from ...scenes import Episode, Recollection
from . import wirings
from .learning import (
    ANSWERS,
    KINDS,
    Batch,
    PerfectEye,
    answers,
    as_numbers,
    episodes,
    pool,
)

EPISODES = 150
MEMORIES = "own", "shuffled", "none"


@lru_cache(maxsize=128)  # the same for all wirings
def fresh(
    seed: int,
    length: int,
    number: int,
    kinds: tuple[tuple[str, float], ...] = tuple(KINDS.items()),
    split: str = "train",
) -> tuple[list[tuple[Episode, list[Recollection]]], Batch]:
    """So many episodes of so many pictures with their questions, and all as numbers."""
    rng = np.random.default_rng([seed, length])
    asked = episodes(pool(split, seed), rng, number, length, dict(kinds), split)
    return asked, as_numbers(asked)


def count(
    recipe: PerfectEye,
    tensors: Mapping[str, np.ndarray],
    length: int,
    seed: int,
    number: int = EPISODES,
    kinds: Mapping[str, float] = KINDS,
    split: str = "train",
    memory: str = "own",
    disturbance: float = 0.0,
) -> dict[str, Share]:
    """kind -> right answers, and "all", over so many episodes of so many pictures.

    `memory` is the episode's own, that of another ("shuffled"), or "none";
    `disturbance` is the deviation of noise on the codes before they are written.
    """
    if memory not in MEMORIES:
        raise ValueError(
            f"count: memory is {memory!r}, but must be {', '.join(MEMORIES)}"
        )
    asked, batch = fresh(seed, length, number, tuple(kinds.items()), split)
    weights = Weights(tensors, "the run")
    codes = wirings.codes_of(batch.objects, weights, recipe.wiring)
    if disturbance:
        rng = np.random.default_rng([seed, length, number])
        codes = codes + disturbance * rng.standard_normal(codes.shape, np.float32)
    if memory == "shuffled":
        codes = np.roll(codes, 1, axis=0)
    if memory == "none":
        batch = batch._replace(there=np.zeros_like(batch.there))
    scores, _ = answers(batch, weights, recipe.wiring, codes=codes)
    is_right = (np.argmax(scores, -1) == batch.answers).ravel().tolist()
    kinds_of = [question.kind for _, some in asked for question in some]
    right: Counter = Counter()
    total: Counter = Counter()
    for kind, truth in zip(kinds_of, is_right):
        for heading in (kind, "all"):
            right[heading] += truth
            total[heading] += 1
    return {heading: Share(right[heading], total[heading]) for heading in total}


def never_written(
    recipe: PerfectEye,
    tensors: Mapping[str, np.ndarray],
    length: int,
    seed: int,
    number: int = EPISODES,
) -> Share:
    """Of all pairs of a question about what was written and one about what was not,
    those in which the memory's variance is larger for the latter: the area under the
    curve of a detector. The cue of a question is two words; the other episode, of which
    it is asked in vain, has no such object.
    """
    kinds = ("content", 2.0), ("which", 1.0)
    asked, batch = fresh(seed, length, number, kinds)
    weights = Weights(tensors, "the run")
    codes = wirings.codes_of(batch.objects, weights, recipe.wiring)
    known, new = (
        _novelty(batch, weights, recipe, some) for some in (codes, np.roll(codes, 1, 0))
    )
    shown = [{t.pair for s in episode.past for t in s.objects} for episode, _ in asked]
    is_new = [
        [question.cue not in shown[row - 1] for question in some]
        for row, (_, some) in enumerate(asked)
    ]
    return share_above(known, new[np.array(is_new)])


def _novelty(batch, weights, recipe, codes):
    _, found = answers(batch, weights, recipe.wiring, codes=codes)
    return novelty(found.memory, found.asked)


def shown(
    recipe: PerfectEye, tensors: Mapping[str, np.ndarray], length: int, seed: int
) -> dict:
    """Where one episode's questions look: "likeness", |w_q w'| (q, e * codes) of each
    question's address to each that was written, or the shares of a cache; with what
    was written, asked, meant, and answered, in words."""
    ((episode, some),), batch = fresh(seed, length, 1)
    weights = Weights(tensors, "the run")
    scores, found = answers(batch, weights, recipe.wiring)
    if found.shares is not None:
        likeness = found.shares[0]
    else:
        likeness = np.abs(found.asked[0] @ found.written[0].T)
    return {
        "likeness": likeness.round(4).tolist(),
        "pictures": [
            [f"{thing.size} {thing.colour} {thing.shape}" for thing in scene.objects]
            for scene in episode.past
        ],
        "questions": [question.text for question in some],
        "meant": [question.picture for question in some],
        "answers": [question.answer for question in some],
        "said": [ANSWERS[best] for best in np.argmax(scores[0], -1)],
    }
