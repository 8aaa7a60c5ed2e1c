"""Choosing by the settings: the rules, one after the other, then the largest or a draw.

    scores --repetition, n-grams, too early a stop-->
           --temperature, top-k, top-p, min-p--> --sample, or argmax--> ids

The order is transformers'. A rule that is set to its neutral value is not applied.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from .decoding import greedy
from .demands import a_chance
from .sampling import (
    min_new_tokens,
    min_p,
    no_repeat_ngram,
    repetition_penalty,
    sample,
    temperature,
    top_k,
    top_p,
)
from .settings import Settings

Randomness = np.random.Generator | Sequence[np.random.Generator]


def ruled(logits, ids, new: int, settings: Settings, stop_ids: Collection[int] = ()):
    """The scores under the rules that look at what was said.

    logits (b, vocabulary); ids (b, t), prompt and answer so far, of which the last
    `new` are the answer's; an id below 0 is no token.
    Oracle: the processors of transformers' generate.
    """
    if settings.repetition_penalty != 1:
        logits = repetition_penalty(logits, ids, settings.repetition_penalty)
    if settings.no_repeat_ngram_size:
        logits = no_repeat_ngram(logits, ids, settings.no_repeat_ngram_size)
    if settings.min_new_tokens and stop_ids:
        logits = min_new_tokens(logits, new, settings.min_new_tokens, stop_ids)
    return logits


def narrowed(logits, settings: Settings):
    """The scores under the rules that shape what is drawn from.

    Oracle: the warpers of transformers' generate(do_sample=True).
    """
    if settings.temperature != 1:
        logits = temperature(logits, settings.temperature)
    if settings.top_k:
        logits = top_k(logits, settings.top_k)
    if settings.top_p < 1:
        logits = top_p(logits, settings.top_p)
    if settings.min_p:
        logits = min_p(logits, settings.min_p)
    return logits


class Chooser:
    """`decode`'s `choose` by the settings; for one answer: it remembers what it chose.

    `prompt` (b, t) is what rules against repetition know of before. `rng` is one
    generator for all rows, or one for each, by which a row of a batch draws what it
    draws alone.
    """

    def __init__(
        self,
        settings: Settings,
        prompt: np.ndarray,
        stop_ids: Collection[int] = (),
        rng: Randomness | None = None,
    ):
        self.settings, self.stop_ids = settings, stop_ids
        self.ids, self.asked = np.asarray(prompt, np.int64), np.shape(prompt)[1]
        self.rng = np.random.default_rng() if rng is None else rng

    def __call__(self, logits):
        new = self.ids.shape[1] - self.asked
        logits = ruled(logits, self.ids, new, self.settings, self.stop_ids)
        if self.settings.do_sample:
            chosen = sample(narrowed(logits, self.settings), self.rng)
        else:
            a_chance("greedy", logits)
            chosen = greedy(logits)
        self.ids = np.concatenate([self.ids, chosen[:, None]], axis=1)
        return chosen
