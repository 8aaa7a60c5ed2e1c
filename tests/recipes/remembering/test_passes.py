"""The spec of refvlm/recipes/remembering/passes.py: packed, as if alone."""

import numpy as np
import pytest

from refvlm.blocks import tables
from refvlm.blocks.episodic_memory.gates import gate_bias
from refvlm.blocks.episodic_memory.prior import Memory
from refvlm.checkpoint import Weights
from refvlm.models import microvlm, microvlm_memory
from refvlm.recipes.remembering import passes
from refvlm.recipes.remembering.rows import Asked, ask_in_rows

from ...spec import assert_close, law, random_arrays
from ...weights import random_weights
from .small_memory import CONFIG

PICTURES, EPISODES = 3, 2
QUESTIONS = [
    [Asked([5, 6, 7], [1, 9, 2]), Asked([8, 9], [1, 3, 2], blind=True)],
    [Asked([4, 6], [1, 9, 8, 2]), Asked([5, 11, 12, 13], [1, 3, 2])],
]


@pytest.fixture(scope="module")
def weights():
    return Weights(random_weights(microvlm.expected_shapes(CONFIG, tied=True)))


@pytest.fixture(scope="module")
def packed(weights):
    """(pictures, rows, what was read, stored and found)."""
    tokens = random_arrays(3)(EPISODES, PICTURES + 1, 3, 16)
    rows = ask_in_rows(QUESTIONS, picture=3)
    read = passes.read_rows(tokens[:, -1], rows, weights, CONFIG)
    stored = microvlm_memory.store(tokens[:, :-1], weights, CONFIG)
    found = microvlm_memory.recall(stored.memory, read.questions, weights, CONFIG)
    return tokens, rows, read, stored, found


def asked_alone(picture, memory, question, weights):
    """The last word's state and the scores of the answer, with a cache and one slot."""
    decoder = microvlm.SPEAKER
    scope = weights.scope(microvlm.DECODER)
    cache = decoder.new_cache(CONFIG.text, 1, 32, np.float64)
    embedded = tables.look_up(np.array([question.words]), weights, microvlm.EMBEDDING)
    if not question.blind:
        embedded = np.concatenate([picture[None], embedded], axis=1)
    last = decoder.forward(embedded, scope, CONFIG.text, cache=cache)[:, -1:]
    found = microvlm_memory.recall(memory, last, weights, CONFIG)
    bias = gate_bias(found.gate)
    cache.slots = microvlm_memory.slots(found.read, weights, CONFIG, bias)
    said = np.array([question.answer[:-1]])
    embedded = tables.look_up(said, weights, microvlm.EMBEDDING)
    hidden = decoder.forward(embedded, scope, CONFIG.text, cache=cache)
    return last[0, 0], decoder.logits(hidden, weights)[0]


@law
def test_rows_are_answered_as_each_question_alone(weights, packed):
    """Two passes over packed rows say what a prompt, a slot and a cache say one by one:
    to the last word, position and mask."""
    tokens, rows, read, stored, found = packed
    bias = gate_bias(found.gate)
    slots = passes.own_slots(found.read, bias, rows, weights, CONFIG)
    scores = passes.answer_rows(rows, read, weights, CONFIG, slots)
    for e, questions in enumerate(QUESTIONS):
        memory = Memory(*(part[e : e + 1] for part in stored.memory))
        for q, question in enumerate(questions):
            last, alone = asked_alone(tokens[e, -1], memory, question, weights)
            assert_close(read.questions[e, q], last)
            assert_close(scores[e, rows.owner[e] == q], alone)


@law
def test_answering_leaves_what_was_read(weights, packed):
    """So the first pass serves for any number of second ones; without a slot another
    answer comes than with one."""
    _, rows, read, _, found = packed
    bias = np.zeros(found.gate.shape)
    slots = passes.own_slots(found.read, bias, rows, weights, CONFIG)
    without = passes.answer_rows(rows, read, weights, CONFIG)
    recalled = passes.answer_rows(rows, read, weights, CONFIG, slots)
    again = passes.answer_rows(rows, read, weights, CONFIG)
    assert_close(without, again)
    assert np.abs(without - recalled).max() > 0.1


@law
def test_a_closed_gate_is_no_memory(weights, packed):
    """To the last bit but for the order of a sum: no slot of zeros, but none."""
    _, rows, read, _, found = packed
    shut = np.full(found.gate.shape, -np.inf)
    slots = passes.own_slots(found.read, shut, rows, weights, CONFIG)
    closed = passes.answer_rows(rows, read, weights, CONFIG, slots)
    assert_close(closed, passes.answer_rows(rows, read, weights, CONFIG))
