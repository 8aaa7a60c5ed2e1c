r"""Where a question looks: which codes of the memory, and how much of the slot.

    likeness     w_q . w_j of a question's address and those that were written
    shares       `finding.shares`, over the tokens of all pictures: what lights up
    attention    of the marker behind the question to its slot, by layer and head

Ready to be drawn: a question is a row of each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ... import ops, scenes
from ...autodiff import value_of
from . import finding
from .passes import answer_rows, own_slots
from .speech import Speech
from .ways import as_learnt, examine


class View(NamedTuple):
    """Of q questions about n past pictures, of which w tokens each were written:
    likeness and shares (q, n, w), the attention to the slot (q, layers, heads), the
    gate (q,), from 0 to 1, and the likeliest first word of each answer."""

    likeness: np.ndarray
    shares: np.ndarray
    attention: np.ndarray
    gate: np.ndarray
    said: list[str]


def view(
    model, episode: scenes.Episode, questions: Sequence[scenes.Recollection]
) -> View:
    """Where a model that remembers looks for each question about one episode."""
    exam = examine(model, Speech(model.tokenizer), [episode], [questions])
    weights, config = model.weights, model.config
    rows, found = exam.rows, exam.found
    recalled, bias = as_learnt(model, exam)
    slots = own_slots(recalled, bias, rows, weights, config)
    watch: list[np.ndarray] = []
    scores = answer_rows(rows, exam.read, weights, config, slots, watch)
    # The first token of each answer is the marker; its slot has its question's number.
    firsts = [int(np.argmax(rows.owner[0] == q)) for q in range(len(questions))]
    attention = [[layer[0, :, at, q] for layer in watch] for q, at in enumerate(firsts)]
    said = value_of(scores)[0, firsts].argmax(-1)
    likeness = found.address[0] @ exam.stored.addresses[0].T
    shares = finding.shares(found.address, exam.stored.addresses)[0]
    shape = len(questions), len(episode.past), -1
    return View(
        likeness.reshape(shape),
        shares.reshape(shape),
        np.array(attention),
        ops.sigmoid(found.gate[0]),
        [model.tokenizer.decode([word]).strip() for word in said],
    )
