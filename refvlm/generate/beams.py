r"""Beam search: the likeliest text, looked for along several at a time.

$\hat y = \arg\max_y \sum_t \log P(y_t \mid y_{<t}, x_v)$

A beam is a text that has begun and may go on. Greedy decoding has one, and cannot take
back a token; here several go on side by side, and one that began worse may overtake.
A step has four parts:

    expand   every beam by every token: the candidates
    rank     them by the sum of their log-probabilities
    finish   those of the best num_beams that are stops: these texts have ended
    go on    with the best num_beams of the others, unless nothing better can come

After the last token that is allowed, all end. With as many beams as there are texts
nothing is dropped, and the search is exhaustive.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import numpy as np

from .. import ops
from .beam_inputs import (
    Wanted,
    arrays,
    checked,
    log_probabilities,
    ruled,
    stepped,
    stops_of,
)

NOWHERE = -np.inf  # the score of a text that is not there


class Beams(NamedTuple):
    """Texts (rows, tokens) and their scores (rows,), best first."""

    ids: np.ndarray
    scores: np.ndarray


class Step(NamedTuple):
    """A step of a search: the best candidates of each prompt, best first.

    Each continues the beam `parents` (b, candidates) by the token `ids`; `scores` are
    the sums of log-probabilities, -inf where there is no candidate, as when a search
    that is done waits for another's. It was `kept` (the first of these is beam 0 of the
    next step, and so on), has `ended`, or else was dropped. The likelier token first,
    0, is followed by nothing likely; 1, 1 has 0.4 x 0.9:

    >>> after = np.log([[0.55, 0.45], [0.1, 0.9]])  # by the last token
    >>> steps = []
    >>> ids, scores = beam_search(
    ...     np.log([[0.6, 0.4]]), lambda ids: after[ids], lambda rows: None,
    ...     np.empty((1, 0), int), max_new_tokens=2, num_beams=2, watch=steps,
    ... )
    >>> ids, np.exp(2 * scores).round(2)
    (array([[1, 1]]), array([0.36]))
    >>> steps[1].parents, steps[1].ids, np.exp(steps[1].scores).round(2)
    (array([[1, 0, 0, 1]]), array([[1, 0, 1, 0]]), array([[0.36, 0.33, 0.27, 0.04]]))
    """

    parents: np.ndarray
    ids: np.ndarray
    scores: np.ndarray
    kept: np.ndarray
    ended: np.ndarray


def beam_search(
    logits,
    step: Callable[[np.ndarray], np.ndarray],
    reorder: Callable[[np.ndarray], None],
    prompt,
    max_new_tokens: int,
    num_beams: int,
    *,
    length_penalty: float = 1.0,
    early_stopping: bool | str = False,
    num_return_sequences: int = 1,
    stop_ids: Collection[int] = (),
    rules: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
    watch: list[Step] | None = None,
) -> Beams:
    r"""The texts y of n tokens that beams find of the highest
    $\sum_{t=1}^{n} \log P(y_t \mid y_{<t}, x_v) \,/\, n^{\text{length\_penalty}}$.

    logits (b, vocabulary) are those after the prompt (b, t). `reorder(rows)` tells the
    caches that row i goes on from row rows[i], and makes b * num_beams rows of b at
    first; `step(ids)` then gives the logits after an id for each. `rules(log_probs,
    so_far)` may change log-probabilities, knowing the tokens so far (rows, t + new).

    `length_penalty`: with 0 the sums are compared, which fall with every token, so that
    short texts win; with 1 the means; with more, long texts win. A stop counts as a
    token. `early_stopping` says when a prompt is done of which `num_beams` texts have
    ended: True, at once; False, when the best beam, as if it ended here, is no better
    than the worst of these; "never", when it cannot become better at any length.
    `watch` collects each `Step`.

    Returns the best `num_return_sequences` texts of each prompt: ids (b *
    num_return_sequences, new), where the first of `stop_ids` (of a set, the lowest)
    stands behind a stop as long as others go on, and their scores. Ties go to the
    earlier beam, then to the lower id. More beams than tokens are empty at first.

    Source: [Cortes] 4.4, with length_penalty = 0.
    Oracle: transformers' generate(num_beams=...).
    """
    logits, prompt = arrays(logits, prompt)
    stops = stops_of(stop_ids, logits.shape[1])
    wanted = Wanted(max_new_tokens, num_beams, length_penalty, early_stopping, stops)
    wanted = checked(wanted, num_return_sequences)
    log_probs = log_probabilities(logits)
    if max_new_tokens == 0:  # the empty text is certain
        rows = len(logits) * num_return_sequences
        return Beams(np.empty((rows, 0), np.int64), np.zeros(rows, log_probs.dtype))
    finished = _search(log_probs, step, reorder, prompt, wanted, rules, watch)
    return _returned(finished, num_return_sequences, stops)


class _Candidates(NamedTuple):
    """Texts of each prompt (b, m, new), the sums of their log-probabilities (b, m), and
    which beam each goes on from (b, m)."""

    ids: np.ndarray
    scores: np.ndarray
    parents: np.ndarray


def _search(log_probs, step, reorder, prompt, wanted, rules, watch):
    """Expand, rank, finish, go on: the best num_beams texts that have ended."""
    batch, num_beams = len(log_probs), wanted.num_beams
    rows = np.repeat(np.arange(batch), num_beams)
    reorder(rows)
    log_probs, prompt = log_probs[rows], prompt[rows]
    beams, finished = _beginning(batch, wanted, log_probs.dtype)
    for length in range(1, wanted.max_new_tokens + 1):
        if rules is not None:
            new = beams.ids.reshape(len(rows), -1)[:, : length - 1]
            log_probs = ruled(rules, log_probs, np.concatenate([prompt, new], axis=1))
        candidates = _ranked(beams, log_probs, length, wanted)
        ends = np.isin(candidates.ids[..., length - 1], wanted.stops)
        ends |= length == wanted.max_new_tokens
        ended = ends & (np.arange(ends.shape[1]) < num_beams)
        if ended.any():
            finished = _finished(finished, candidates, ended, length, wanted)
        beams, kept = _going_on(candidates, ends, finished, length, wanted)
        if watch is not None:
            watch.append(_seen(candidates, ended, beams, kept, length))
        if (beams.scores == NOWHERE).all():
            break
        first = num_beams * np.arange(batch)[:, None]  # of a prompt's rows
        reorder((first + beams.parents).ravel())
        log_probs = stepped(step, beams.ids[..., length - 1].ravel(), log_probs)
    return finished


def _beginning(batch, wanted, dtype):
    """Beams that are alike, of which one is enough to go on from; no text has ended."""
    shape = batch, wanted.num_beams
    fill = wanted.stops[0] if len(wanted.stops) else 0
    ids = np.full((*shape, wanted.max_new_tokens), fill, np.int64)
    finished = Beams(ids, np.full(shape, NOWHERE, dtype))
    scores = finished.scores.copy()
    scores[:, 0] = 0
    return _Candidates(ids, scores, np.zeros(shape, np.int64)), finished


def _ranked(beams, log_probs, length, wanted):
    """The best of each prompt's beams continued by each token, all in one row."""
    (batch, num_beams), vocabulary = beams.scores.shape, log_probs.shape[1]
    sums = beams.scores[..., None] + log_probs.reshape(batch, num_beams, vocabulary)
    # Each beam may end in every stop, and as many as there are beams shall go on.
    count = min(max(2, 1 + len(wanted.stops)), vocabulary) * num_beams
    scores, places = ops.topk(sums.reshape(batch, -1), count)
    parents, last = np.divmod(places, vocabulary)
    ids = _of_each(beams.ids, parents)
    ids[..., length - 1] = last
    return _Candidates(ids, scores, parents)


def _finished(finished, candidates, ended, length, wanted):
    """The best of what had ended, and of what has ended just now."""
    scores = candidates.scores / length**wanted.length_penalty
    scores = np.where(ended, scores, NOWHERE)
    scores = np.concatenate([finished.scores, scores], axis=1)
    ids = np.concatenate([finished.ids, candidates.ids], axis=1)
    scores, chosen = ops.topk(scores, wanted.num_beams)
    return Beams(_of_each(ids, chosen), scores)


def _going_on(candidates, ends, finished, length, wanted):
    """The best that do not end, as beams, and their places among the candidates.

    A prompt that is done has no beams: their score is -inf, and so all that follows.
    """
    scores = np.where(ends, NOWHERE, candidates.scores)
    scores, kept = ops.topk(scores, wanted.num_beams)
    best, worst = scores[:, 0], finished.scores[:, -1]
    later = wanted.early_stopping == "never" and wanted.length_penalty > 0
    reach = wanted.max_new_tokens if later else length
    done = best / reach**wanted.length_penalty <= worst
    if wanted.early_stopping is True:
        done |= worst > NOWHERE
    scores[done] = NOWHERE
    ids, parents = (_of_each(x, kept) for x in (candidates.ids, candidates.parents))
    return _Candidates(ids, scores, parents), kept


def _seen(candidates, ended, beams, kept, length):
    """What there is to watch."""
    going = np.zeros(ended.shape, bool)
    np.put_along_axis(going, kept, beams.scores > NOWHERE, axis=1)
    ids, scores, parents = candidates
    there = scores > NOWHERE
    return Step(parents, ids[..., length - 1], scores, going, ended & there)


def _of_each(of_all, chosen):
    """For each prompt those that are chosen (b, m), of what there is of all."""
    return of_all[np.arange(len(chosen))[:, None], chosen]


def _returned(finished, count, stops):
    """The first `count` texts of each prompt, cut where the longest ends."""
    there = (finished.scores > NOWHERE).sum(axis=1)
    if (there < count).any():
        few = int(np.argmax(there < count))
        raise ValueError(
            f"beam_search: prompt {few} can be continued in {there[few]} ways only "
            f"(max_new_tokens and the rules allow no more), but num_return_sequences "
            f"is {count}"
        )
    ids = finished.ids[:, :count].reshape(-1, finished.ids.shape[2])
    stop = np.isin(ids, stops)
    behind = np.cumsum(stop, axis=1) > stop  # a stop
    longest = int((~behind).any(axis=0).sum())
    return Beams(ids[:, :longest], finished.scores[:, :count].ravel())
