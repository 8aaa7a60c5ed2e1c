"""The spec of refvlm/recipes/remembering/ways.py, on a model of chance weights."""

import numpy as np
import pytest

from refvlm.recipes.remembering import passes, scores, ways
from refvlm.recipes.remembering.speech import Speech

from ...spec import assert_close, law
from .small_memory import speaking_model


@pytest.fixture(scope="module")
def model():
    return speaking_model()


@pytest.fixture(scope="module")
def exam(model):
    drawn = scores.drawn(3, range(3), 4)
    return ways.examine(model, Speech(model.tokenizer), *drawn)


def spoken(model, exam, way):
    """The scores of all tokens of all answers."""
    recalled, bias = way(model, exam)
    given = exam.rows, model.weights, model.config
    slots = passes.own_slots(recalled, bias, *given)
    return passes.answer_rows(exam.rows, exam.read, *given[1:], slots)


@law
def test_ways_differ_in_the_slot_alone(model, exam):
    """Open and as learnt they read the same; closed, whatever is in the slot is not
    seen; another's memory and a cache say something else."""
    said = {n: spoken(model, exam, way) for n, way in ways.WAYS.items()}
    alone = passes.answer_rows(exam.rows, exam.read, model.weights, model.config)
    assert_close(said["without memory"], alone)
    for one in ("memory of another episode", "codes in a plain cache"):
        assert np.abs(said[one] - said["with its memory"]).max() > 1e-3, one
    hard = ways.gate_hard(model, exam)[1]
    assert ((hard == 0) == (exam.found.gate > 0)).all()


@law
def test_another_memory_is_that_of_the_episode_before(model, exam):
    """Of an episode by itself it is its own."""
    one = scores.drawn(3, [0], 4)
    alone = ways.examine(model, Speech(model.tokenizer), *one)
    assert_close(
        ways.of_another(model, alone)[0],
        ways.as_learnt(model, alone)[0],
    )
    read = ways.of_another(model, exam)[0]
    assert np.abs(read - exam.found.read).max() > 1e-3
