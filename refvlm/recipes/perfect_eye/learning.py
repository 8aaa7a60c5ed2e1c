r"""The memory alone: which wiring remembers, if the eye is perfect.

    recipe = learning.recipe(MemoryWiring(noise=1e-4), seed=1)
    for state in loop.train(recipe, loop.begin(recipe)): ...
    counting.count(recipe, state.tensors, length=4, seed=31)

$$L = L_{answer} + \alpha L_{finding} + \beta_M D(M) + \beta_w D(w)$$

A batch has 16 episodes of 8 questions each, all of the past. Of one question in ten
what was recalled is taken away in training, so that "without memory" is a thing that
the answering network has met, and its share of right answers a fair chance.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, lru_cache
from typing import NamedTuple

import numpy as np

from ... import ops
from ...autodiff import value_of
from ...blocks.training_mode import Training
from ...scenes import (
    COLOURS,
    ORDINALS,
    SHAPES,
    SIZES,
    Episode,
    Recollection,
    Scene,
    choose,
    compose,
    recollections,
    sample_two,
)
from ...train.initialization import initial_weights
from ...train.loop import Recipe, Stage
from ...train.optimizers import AdamW, matrices_only
from ..remembering.finding import picture_scores
from . import wirings
from .wirings import MemoryWiring

STEPS, PEAK = 1200, 5e-3
BATCH, QUESTIONS = 16, 8
POOL = 4000  # scenes that episodes are composed of
TAKEN = 0.1  # of the questions in training
KINDS = {"content": 2.0, "order": 1.0, "which": 0.5}
WORDS = (*KINDS, "colour", "shape", "size", "picture", *COLOURS, *SHAPES, *ORDINALS)
ANSWERS = (*COLOURS, *SHAPES, *SIZES, *ORDINALS)
DOUBT = 0.05  # the first deviation of a sampled address


class Batch(NamedTuple):
    """Episodes as numbers: objects (b, e, 2, 16) and questions (b, q, 29) as marks for
    their words, answers and pictures (b, q) by number, and whose memory is `there`."""

    objects: np.ndarray
    words: np.ndarray
    answers: np.ndarray
    pictures: np.ndarray
    there: np.ndarray


def recipe(
    wiring: MemoryWiring, steps: int = STEPS, peak: float = PEAK, seed: int = 1
) -> PerfectEye:
    """The recipe of one wiring."""
    return PerfectEye(wiring, steps, peak, seed)


class PerfectEye(Recipe):
    """Where the weights start, the batch of every step, and the loss."""

    max_norm = 1.0
    momentum = 0.1  # of statistics, of which it has none

    def __init__(self, wiring: MemoryWiring, steps: int, peak: float, seed: int):
        self.wiring, self.seed = wiring, seed
        self.name = "perfect-eye"
        self.stages = (Stage("remember", steps, peak, min(100, steps // 8), 0.02),)
        self.optimizer = AdamW(betas=(0.9, 0.98), weight_decay=matrices_only(0.05))

    def initial(self) -> dict[str, np.ndarray]:
        """The weights before the first step: what all wirings have begins alike."""
        rng = np.random.default_rng([self.seed, 0])
        weights = initial_weights(wirings.expected_shapes(self.wiring), rng)
        if "log_variance.bias" in weights:
            weights["log_variance.bias"] += np.float32(2 * np.log(DOUBT))
        return weights

    def batch(self, step: int) -> list[Batch]:
        """Episodes of as many pictures each, and what is asked about them."""
        return [_batch(self.seed, step, self.wiring.longest)]

    def loss(self, weights, shard: Batch, training: Training, stage: Stage):
        """The loss of a batch, and what is worth noting about it."""
        scores, found = answers(shard, weights, self.wiring, training.rng)
        flat = scores.reshape(-1, len(ANSWERS))
        said = ops.cross_entropy(flat, shard.answers.reshape(-1))
        right = np.argmax(value_of(flat), 1) == shard.answers.reshape(-1)
        parts = {"right": float(right[shard.there.reshape(-1)].mean())}
        loss = said
        if self.wiring.finding and found.asked is not None:
            pictures = shard.objects.shape[1]
            like = picture_scores(found.asked, found.written, pictures)
            meant = shard.pictures.reshape(-1)
            missed = ops.cross_entropy(like.reshape(-1, pictures), meant)
            loss = loss + self.wiring.finding * missed
            parts["finding"] = float(value_of(missed))
        if self.wiring.doubt:
            named = zip(("memory", "addresses"), self.wiring.doubt, found.divergences)
            for name, weight, divergence in named:
                mean = divergence.mean()
                loss = loss + weight * mean
                parts[f"{name}, nats"] = float(value_of(mean))
        return loss, parts


@lru_cache(maxsize=4 * STEPS)  # of one wiring, for the next: they are shown the same
def _batch(seed: int, step: int, longest: int) -> Batch:
    rng = np.random.default_rng([seed, 1, step])
    length = int(rng.integers(1, longest + 1))
    asked = episodes(pool("train", 0), rng, BATCH, length, KINDS)
    numbers = as_numbers(asked)
    return numbers._replace(there=rng.random(numbers.answers.shape) >= TAKEN)


def answers(batch: Batch, weights, wiring: MemoryWiring, rng=None, codes=None):
    """(scores (b, q, 24), what was recalled) of a batch; of these codes, if given."""
    if codes is None:
        codes = wirings.codes_of(batch.objects, weights, wiring)
    asking, hidden = wirings.question_of(batch.words, weights.scope("question"), wiring)
    found = wirings.recall(codes, asking, weights, wiring, rng)
    there = batch.there[..., None].astype(batch.words.dtype)
    scores = wirings.answer_of(found.recalled * there, hidden, weights.scope("answer"))
    return scores, found


@cache
def pool(split: str, seed: int) -> list[Scene]:
    """Scenes drawn beforehand."""
    rng = np.random.default_rng([seed, 7])
    return [sample_two(rng, split) for _ in range(POOL)]


def episodes(
    scenes: list[Scene],
    rng: np.random.Generator,
    number: int,
    length: int,
    kinds: Mapping[str, float],
    split: str = "train",
) -> list[tuple[Episode, list[Recollection]]]:
    """So many episodes, each with 8 questions of these kinds."""
    asked: list[tuple[Episode, list[Recollection]]] = []
    while len(asked) < number:
        episode = compose(scenes, choose(rng, len(scenes), length))
        some = recollections(episode, rng, QUESTIONS, split, kinds)
        if len(some) == QUESTIONS:  # in long ones there may be no cue that occurs once
            asked.append((episode, some))
    return asked


def as_numbers(asked: list[tuple[Episode, list[Recollection]]]) -> Batch:
    """Words as marks: what a perfect eye, and a perfect ear, would make of them."""
    objects = [[_marks_of(scene) for scene in episode.past] for episode, _ in asked]
    questions = [some for _, some in asked]
    pictures = np.array([[each.picture for each in some] for some in questions])
    return Batch(
        np.array(objects, np.float32),
        np.array([[_marks(each) for each in some] for some in questions], np.float32),
        np.array([[ANSWERS.index(each.answer) for each in some] for some in questions]),
        pictures,
        np.ones(pictures.shape, bool),
    )


@cache
def _marks_of(scene: Scene):
    words = (*COLOURS, *SHAPES, *SIZES)
    rows = np.zeros((len(scene.objects), len(words)), np.float32)
    for row, thing in zip(rows, scene.objects):
        for word in (thing.colour, thing.shape, thing.size):
            row[words.index(word)] = 1
    return rows


def _marks(question: Recollection) -> list[float]:
    """Its kind, what is asked, the words of its cue, and in order its picture."""
    kind = "order" if question.kind == "order alone" else question.kind
    number = question.text.split()[2] if kind == "order" else None
    said = {kind, question.asked, *question.cue, number}
    return [float(word in said) for word in WORDS]
