r"""What a model that remembers is asked to be good at.

    spoken      the words of the answers                       cross-entropy
    addresses   which picture is meant, by where it is asked   cross-entropy
    gates       is this asked of the past?                     binary cross-entropy
    aligned     which caption belongs to which picture         InfoNCE

The memory learns from the words alone, too, but slowly: nothing tells a question which
picture it should have found until the slot is understood, and nothing teaches the
decoder to read the slot until it holds the right picture. The second loss says it.
"""

from __future__ import annotations

import numpy as np

from ... import ops
from ...blocks import tables
from ...checkpoint import Weights
from ...models import microvlm
from ...objectives.contrastive import clip_loss
from ...objectives.language import IGNORE
from .finding import picture_scores
from .rows import AskedRows


def spoken_loss(scores, rows: AskedRows):
    """The cross-entropy of every word of every answer, for each question."""
    said = np.flatnonzero(rows.labels != IGNORE)
    flat = ops.embedding(said, scores.reshape(-1, scores.shape[-1]))
    wrong = ops.cross_entropy(flat, rows.labels.flat[said], reduction="none")
    questions = len(rows.ids) * (rows.owner.max() + 1)
    return (wrong * (rows.weights.flat[said] / np.float32(questions))).sum()


def aligned_loss(classes, captions, is_word, weights: Weights):
    """How well class tokens (b, c) and the means of captions' words tell one another
    apart: captions (b, w) are ids, is_word says which of them is no padding."""
    words = tables.look_up(captions, weights, microvlm.EMBEDDING)
    said = ops.masked_mean(words, is_word, dim=1)
    return clip_loss(*microvlm.aligned(classes, said, weights))


def address_loss(asked, addresses, meant, pictures: int):
    """The cross-entropy of the picture that each question of the past means, (e, q)
    numbers with -1 for the present, by `picture_scores`."""
    scores = picture_scores(asked, addresses, pictures)
    past = np.flatnonzero(meant >= 0)
    if not past.size:
        return scores.sum() * 0.0
    of_past = ops.embedding(past, scores.reshape(-1, pictures))
    return ops.cross_entropy(of_past, meant.flat[past])


def gate_loss(gate, meant):
    """The binary cross-entropy of the gate's logits, which is to be open where a past
    picture is meant."""
    return ops.binary_cross_entropy_with_logits(gate, (meant >= 0).astype(gate.dtype))


def right_answers(scores, rows: AskedRows) -> np.ndarray:
    """Which questions (b, q) are answered as they should be, to the end: all tokens of
    the answer are the likeliest ones, so that who decodes greedily says it."""
    wrong = (scores.argmax(-1) != rows.labels) & (rows.labels != IGNORE)
    questions = np.arange(rows.owner.max() + 1)
    is_own = rows.owner[:, None] == questions[:, None]
    return ~(is_own & wrong[:, None]).any(axis=-1)
