r"""Packing: one picture, many texts about it, one row.

    the frame and the picture | question 1, answer 1 | question 2, answer 2 | ...

The picture is dear and a text is cheap, so each picture is looked at once for all its
texts. Every text sees the prefix and itself, and none of the others: for the decoder it
is as if each stood alone behind the picture, positions included.

                      prefix  text 1  text 2
             prefix     \
             text 1     #       \
             text 2     #               \        (\ is causal, # is everything)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..models.causal import Packing
from ..objectives.language import IGNORE

PREFIX, PADDING = 0, -1


class Text(NamedTuple):
    """Ids that are given, the ids that are to be learnt after them, and how much each
    of these counts in the loss."""

    question: Sequence[int]
    answer: Sequence[int]
    weight: float = 1.0


class PackedTexts(NamedTuple):
    """Rows of ids (b, t), what each is to be (IGNORE where nothing is), how much that
    counts, and who sees whom."""

    ids: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    layout: Packing


def pack(prefix: Sequence[int], rows: Sequence[Sequence[Text]]) -> PackedTexts:
    """One row for each list of texts, all behind the same prefix, padded at the end.

    >>> packed = pack([7, 8], [[Text([1], [2, 3]), Text([4], [5])]])
    >>> packed.ids[0]
    array([7, 8, 1, 2, 3, 4, 5])
    >>> packed.labels[0]
    array([-100, -100, -100,    2,    3, -100,    5])
    >>> packed.layout.positions[0]
    array([0, 1, 2, 3, 4, 2, 3])
    """
    lengths = [_length(prefix, texts) for texts in rows]
    shape = len(rows), max(lengths)
    ids = np.zeros(shape, np.int64)
    labels = np.full(shape, IGNORE, np.int64)
    weights = np.zeros(shape, np.float32)
    owner = np.full(shape, PADDING, np.int64)
    positions = np.zeros(shape, np.int64)
    for row, texts in enumerate(rows):
        ids[row, : len(prefix)], owner[row, : len(prefix)] = prefix, PREFIX
        positions[row, : len(prefix)] = range(len(prefix))
        end = len(prefix)
        for number, (question, answer, weight) in enumerate(texts, 1):
            if not len(question):
                raise ValueError(
                    f"pack: text {number} of row {row} has no question: its first "
                    "token would be asked of the text before it"
                )
            start, middle = end, end + len(question)
            end = middle + len(answer)
            ids[row, start:middle], ids[row, middle:end] = question, answer
            labels[row, middle:end], weights[row, middle:end] = answer, weight
            owner[row, start:end] = number
            positions[row, start:end] = range(len(prefix), len(prefix) + end - start)
    return PackedTexts(ids, labels, weights, Packing(positions, _sees(owner)))


def _length(prefix, texts):
    return len(prefix) + sum(len(text.question) + len(text.answer) for text in texts)


def _sees(owner):
    """(b, t, t): each token sees the prefix and its own text, up to itself."""
    own, other = owner[:, :, None], owner[:, None, :]
    earlier = np.tri(owner.shape[1], dtype=bool)
    return ((other == own) | ((other == PREFIX) & (own != PADDING))) & earlier
