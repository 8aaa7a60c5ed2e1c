"""From a prompt that was read to the ids that answer it, by whichever rule is asked.

The models read: they hand over a `Reading`. What follows is the same for all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import numpy as np

from .beams import beam_search
from .choosing import Chooser, Randomness, ruled
from .decoding import Watch, decode
from .settings import Settings


class Reading(NamedTuple):
    """A prompt that a model has read, and how the model goes on.

    `logits` (b, vocabulary) are those behind the prompt, and `step(ids)` (b,) gives the
    next. After `reorder(rows)`, row i goes on from what row rows[i] was. `prompt`
    (b, t) are the ids read; one below 0 is no token: padding, or part of a picture.
    """

    logits: np.ndarray
    step: Callable[[np.ndarray], np.ndarray]
    reorder: Callable[[np.ndarray], None]
    prompt: np.ndarray


def speak(
    reading: Reading,
    max_new_tokens: int,
    stop_ids: Collection[int] = (),
    settings: Settings | None = None,
    rng: Randomness | None = None,
    watch: Watch | None = None,
) -> Iterator[np.ndarray]:
    """Yield new ids (b * num_return_sequences,), one step at a time.

    The sequences of one prompt are neighbours. With beams all of it is known at the
    end only, and comes then; `watch` sees no steps of a search.
    Oracle: transformers' generate.
    """
    settings = Settings() if settings is None else settings
    vocabulary = reading.logits.shape[-1]
    stop_ids = [stop for stop in stop_ids if stop < vocabulary]  # none is said beyond
    if settings.num_beams > 1:
        yield from _searched(reading, max_new_tokens, stop_ids, settings)
        return
    logits, step, reorder, prompt = reading
    if settings.num_return_sequences > 1:
        rows = np.repeat(np.arange(len(logits)), settings.num_return_sequences)
        reorder(rows)
        logits, prompt = logits[rows], prompt[rows]
    choose = Chooser(settings, prompt, stop_ids, rng)
    yield from decode(logits, step, max_new_tokens, stop_ids, choose, watch)


def _searched(reading, max_new_tokens, stop_ids, settings):
    asked = reading.prompt.shape[1]

    def rules(log_probs, ids):
        return ruled(log_probs, ids, ids.shape[1] - asked, settings, stop_ids)

    found = beam_search(
        reading.logits,
        reading.step,
        reading.reorder,
        reading.prompt,
        max_new_tokens,
        settings.num_beams,
        length_penalty=settings.length_penalty,
        early_stopping=settings.early_stopping,
        num_return_sequences=settings.num_return_sequences,
        stop_ids=stop_ids,
        rules=rules,
    )
    yield from found.ids.T
