r"""Rows of questions about one episode, read and answered in two passes.

    first pass    picture | words of 1 | words of 2 | ... | last word of 1, of 2, ...
    second pass   <answer> red | <answer> third | ...          behind all of the first

What a question is to a memory is known only behind its last word, so the answers are
a pass of their own, and what was read is kept. Every question sees the picture and
itself, every answer its question and itself, and none of the others: positions
included, it is as if each was asked alone. A question that is `blind` does not see the
picture either.

The last words stand together at the end, since of them alone the last layer's output is
read. A mask says who sees whom, so that the order in a row is free.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...models.causal import Packing
from ...objectives.language import IGNORE


class Asked(NamedTuple):
    """A question as ids, the ids that are to be answered, what a token of these counts,
    and whether it is asked without the picture. `answer` begins with the marker that
    asks for it."""

    words: Sequence[int]
    answer: Sequence[int]
    weight: float = 1.0
    blind: bool = False


class AskedRows(NamedTuple):
    """b rows of q questions each behind a picture of m tokens: the ids (b, t) of their
    words, which stand behind it, the ids (b, a) of the answers, what is to come after
    each of these (IGNORE where nothing is) and how much it counts, and for each the
    number of its question, -1 for padding. In the first pass m + t tokens see one
    another; in the second a see m + t + a."""

    ids: np.ndarray
    reading: Packing
    answers: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    owner: np.ndarray
    answering: Packing


def ask_in_rows(rows: Sequence[Sequence[Asked]], picture: int) -> AskedRows:
    """Rows of as many questions each, behind a picture of so many tokens.

    >>> rows = ask_in_rows([[Asked([5, 6], [1, 7, 2]), Asked([8, 9], [1, 3, 2])]], 1)
    >>> rows.ids
    array([[5, 8, 6, 9]])
    >>> rows.answers, rows.labels
    (array([[1, 7, 1, 3]]), array([[7, 2, 3, 2]]))
    >>> rows.answering.positions
    array([[3, 4, 3, 4]])
    """
    asked = {len(row) for row in rows}
    if len(asked) != 1 or 0 in asked:
        raise ValueError(
            f"ask_in_rows: rows have {sorted(asked)} questions, but must have as many "
            "each, and one at least"
        )
    (count,), b = asked, len(rows)
    first = max(sum(len(question.words) - 1 for question in row) for row in rows)
    second = max(sum(len(question.answer) - 1 for question in row) for row in rows)
    reading, answering = Layout(b, first + count), Layout(b, second)
    weights = np.zeros((b, second), np.float32)
    labels = np.full((b, second), IGNORE)
    for row, questions in enumerate(rows):
        end = said = 0
        for number, (words, answer, weight, blind) in enumerate(questions):
            start, own = 0 if blind else picture, (number, blind)
            end = reading.put(row, end, words[:-1], start, own)
            behind = start + len(words)
            reading.put(row, first + number, words[-1:], behind - 1, own)
            here, said = said, answering.put(row, said, answer[:-1], behind, own)
            labels[row, here:said], weights[row, here:said] = answer[1:], weight
    return AskedRows(
        reading.ids,
        Packing(
            np.concatenate([np.tile(np.arange(picture), (b, 1)), reading.places], 1),
            _reads(reading, picture),
        ),
        answering.ids,
        labels,
        weights,
        answering.owner,
        Packing(answering.places, _answers(answering, reading, picture)),
    )


class Layout:
    """Where the tokens of a pass stand: their ids, their places in their own text,
    whose they are, and whether that is blind, (b, t) each."""

    def __init__(self, rows, length):
        self.ids = np.zeros((rows, length), np.int64)
        self.places = np.zeros((rows, length), np.int64)
        self.owner = np.full((rows, length), -1)
        self.blind = np.zeros((rows, length), bool)

    def put(self, row, at, ids, place, own):
        """Some ids of one question from a column on; the column behind them."""
        end = at + len(ids)
        self.ids[row, at:end] = ids
        self.places[row, at:end] = range(place, place + len(ids))
        self.owner[row, at:end], self.blind[row, at:end] = own
        return end


def _reads(reading, picture):
    """(b, m + t, m + t): the picture sees itself so far, a word the picture, unless it
    is blind, and the words of its own question up to itself."""
    b, t = reading.ids.shape
    sees = np.zeros((b, picture + t, picture + t), bool)
    sees[:, :picture, :picture] = np.tri(picture, dtype=bool)
    sees[:, picture:] = _sees(reading, reading, picture)
    sees[:, range(picture + t), range(picture + t)] = True  # padding sees itself
    return sees


def _answers(answering, reading, picture):
    """(b, a, m + t + a): an answer sees what its question saw, and itself so far."""
    own = _earlier(answering, answering)
    own[:, range(own.shape[1]), range(own.shape[1])] = True
    return np.concatenate([_sees(answering, reading, picture), own], axis=2)


def _sees(those, words, picture):
    """Whom of the picture and of some words the tokens of a layout see."""
    there = (those.owner >= 0) & ~those.blind
    seen = np.repeat(there[:, :, None], picture, axis=2)
    return np.concatenate([seen, _earlier(those, words)], axis=2)


def _earlier(those, words):
    """Those of the same question at the same place or before it."""
    same = those.owner[:, :, None] == words.owner[:, None]
    before = those.places[:, :, None] >= words.places[:, None]
    return same & before & (words.owner >= 0)[:, None]
