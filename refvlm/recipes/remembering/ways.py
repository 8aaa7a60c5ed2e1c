r"""Ways to recall: what an answer sees of a memory, that of its episode or another.

    with its memory | without | with another's | from a plain cache

Every question is answered in two passes (passes.py), of which the first is the same for
all of these: what differs is the slot, and how far its gate is open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ... import ops, scenes
from ...blocks.episodic_memory.gates import gate_bias, is_open
from ...blocks.episodic_memory.prior import Memory
from ...models import microvlm, microvlm_memory
from ...models.microvlm_answer import Read
from ...models.microvlm_memory import Stored
from . import finding, passes
from .losses import right_answers
from .rows import AskedRows, ask_in_rows


class Examined(NamedTuple):
    """Some episodes, all of one length, and what is asked of each; how it was read,
    what was stored of each, and what every question recalls of its own."""

    episodes: Sequence[scenes.Episode]
    asked: Sequence[Sequence[scenes.Recollection]]
    rows: AskedRows
    read: Read
    stored: Stored
    found: Any


def examine(model, speech, episodes, asked) -> Examined:
    """What a model makes of episodes, before it answers; `speech` makes ids of text."""
    weights, config = model.weights, model.config
    pictures = [scenes.draw(scene) for one in episodes for scene in one.scenes]
    pixels = model.preprocessor.batch(pictures)
    tokens = microvlm.encode_image(pixels, weights, config)
    tokens = tokens.reshape(len(episodes), -1, *tokens.shape[1:])
    questions = [[speech.asked(q.text, q.answer) for q in some] for some in asked]
    rows = ask_in_rows(questions, tokens.shape[2])
    read = passes.read_rows(tokens[:, -1], rows, weights, config)
    stored = microvlm_memory.store(tokens[:, :-1], weights, config)
    found = microvlm_memory.recall(stored.memory, read.questions, weights, config)
    return Examined(episodes, asked, rows, read, stored, found)


def as_learnt(model, exam: Examined):
    """What is recalled, (b, q, C), and the logarithm of its gate, (b, q)."""
    return exam.found.read, gate_bias(exam.found.gate)


def gate_open(model, exam):
    """The slot is there like any token, for every question."""
    return exam.found.read, np.zeros_like(exam.found.gate)


def gate_hard(model, exam):
    """The slot is there, or is not, as the gate is open or is not."""
    gate = exam.found.gate
    return exam.found.read, ops.additive_mask(is_open(gate), gate.dtype)


def without(model, exam):
    """No slot is seen by any question: not a slot of zeros, but none."""
    return exam.found.read, np.full_like(exam.found.gate, -np.inf)


def of_another(model, exam):
    """The memory is that of the episode before."""
    _, found = asked_of_another(model, exam)
    return found.read, gate_bias(found.gate)


def asked_of_another(model, exam):
    """(memory, what is recalled of it): that of the episode before."""
    memory = Memory(*(np.roll(part, 1, axis=0) for part in exam.stored.memory))
    asking = exam.read.questions
    return memory, microvlm_memory.recall(memory, asking, model.weights, model.config)


def from_cache(model, exam):
    """What is recalled is a mean of the codes themselves, all of which were kept, by a
    softmax of how alike the addresses are. Nothing was trained for it."""
    shares = finding.shares(exam.found.address, exam.stored.addresses)
    return shares @ exam.stored.codes, gate_bias(exam.found.gate)


WAYS: dict[str, Callable] = {
    "with its memory": as_learnt,
    "gate always open": gate_open,
    "gate hard": gate_hard,
    "without memory": without,
    "memory of another episode": of_another,
    "codes in a plain cache": from_cache,
}


def answered(model, exam: Examined, way: Callable = as_learnt) -> np.ndarray:
    """Which questions (b, q) are answered rightly, recalling in one of the ways."""
    recalled, gate = way(model, exam)
    weights, config = model.weights, model.config
    slots = passes.own_slots(recalled, gate, exam.rows, weights, config)
    scores = passes.answer_rows(exam.rows, exam.read, weights, config, slots)
    return right_answers(scores, exam.rows)
