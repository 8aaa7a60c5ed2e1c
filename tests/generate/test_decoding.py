"""The spec of refvlm/generate/decoding.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import generate

from ..spec import contract, example, law, tensors


def chain(table):
    """A model whose next logits depend on the last id alone: a table of scores."""
    table = np.asarray(table, dtype=float)
    return lambda ids: table[ids]


# Each token's favourite successor: 0 -> 2 -> 1 -> 3 -> 3 ...
SUCCESSORS = np.eye(4)[[2, 3, 1, 3]]


@example
def test_decode_follows_the_chain():
    """From scores that prefer 0, the tokens are 0, 2, 1, 3, 3."""
    steps = generate.decode(np.eye(4)[[0]], chain(SUCCESSORS), max_new_tokens=5)
    assert [int(ids[0]) for ids in steps] == [0, 2, 1, 3, 3]


@example
def test_greedy_takes_the_lowest_id_of_a_tie():
    """Two tokens with the same score: the lower id, as np.argmax and torch.argmax."""
    np.testing.assert_array_equal(generate.greedy(np.array([[1.0, 3.0, 3.0]])), [1])


@law
@given(tensors((3, 7)))
def test_greedy_chooses_a_largest_score(logits):
    """No score in the row is larger than that of the chosen token."""
    chosen = generate.greedy(logits)
    assert (logits[np.arange(3), chosen] == logits.max(axis=1)).all()


@contract
@pytest.mark.parametrize(
    "chosen, message",
    [
        (np.array([[0]]), r"\(1,\), an id for each row of logits, not int64 \(1, 1\)"),
        (0, r"not int64 \(\)"),
        (np.array([0.0]), r"not float64 \(1,\)"),
        ([4], r"ids from 0 to 3, not \[4\]"),
        ([-1], r"ids from 0 to 3, not \[-1\]"),
    ],
)
def test_decode_names_a_choice_that_is_none(chosen, message):
    """Another shape would broadcast, and -1 would be the last token."""
    with pytest.raises(ValueError, match=message):
        list(generate.decode(np.eye(4)[[0]], None, 1, choose=lambda _: chosen))


@law
def test_decode_takes_a_list_for_a_choice():
    """Ids are ids, whatever they come in, and a stop among them is one."""
    given = iter([[2], [1]])
    logits = np.eye(4)[[0]]
    steps = generate.decode(logits, lambda _: logits, 9, {1}, lambda _: next(given))
    np.testing.assert_array_equal(list(steps), [[2], [1]])


@law
def test_decode_keeps_the_stop_id_and_ends_with_it():
    """Nothing follows the stop id, and the stop id itself is part of the answer."""
    steps = generate.decode(np.eye(4)[[0]], chain(SUCCESSORS), 9, stop_ids={1})
    assert [int(ids[0]) for ids in steps] == [0, 2, 1]


@law
def test_decode_repeats_the_stop_id_until_every_row_has_stopped():
    """Rows of a batch stop on their own; the last one ends the decoding. A row that has
    stopped at 1 stays there, though the model would follow 1 by 3."""
    steps = generate.decode(np.eye(4)[[0, 1]], chain(SUCCESSORS), 9, stop_ids={1})
    np.testing.assert_array_equal(np.stack(list(steps), axis=1), [[0, 2, 1], [1, 1, 1]])


@law
@given(st.integers(1, 6), st.integers(0, 3))
def test_decode_calls_the_model_once_less_than_it_yields(limit, first):
    """The prompt gives the first token, so n tokens need n - 1 steps; no step is run
    whose token nobody asked for."""
    calls = []

    def step(ids):
        calls.append(ids)
        return SUCCESSORS[ids]

    tokens = list(generate.decode(SUCCESSORS[[first]], step, limit))
    assert len(tokens) == limit
    assert len(calls) == limit - 1


@law
def test_decode_is_lazy():
    """A token can be shown before the next one is computed."""
    steps = generate.decode(np.eye(4)[[0]], lambda ids: 1 / 0, 5)
    assert int(next(steps)[0]) == 0


@example
def test_confidence_is_the_least_probability_of_what_was_chosen():
    """Scores log 3 and log 1 of two tokens are 3/4 and 1/4; a tie is one half."""
    confidence = generate.Confidence()
    confidence(np.log([[3.0, 1.0], [1.0, 1.0]]), np.array([0, 0]))
    np.testing.assert_allclose(confidence.least, [0.75, 0.5])
    confidence(np.log([[1.0, 4.0], [9.0, 1.0]]), np.array([1, 0]))
    np.testing.assert_allclose(confidence.least, [0.75, 0.5])
    confidence(np.log([[1.0, 1.0], [9.0, 1.0]]), np.array([0, 1]))
    np.testing.assert_allclose(confidence.least, [0.5, 0.1])


@law
def test_confidence_counts_the_stop_and_nothing_after_it():
    """Row 0 stops at once, with 3/4; what it is fed afterwards is no answer."""
    confidence = generate.Confidence(stop_ids={0})
    confidence(np.log([[3.0, 1.0], [1.0, 3.0]]), np.array([0, 1]))
    confidence(np.log([[1.0, 1.0], [1.0, 1.5]]), np.array([0, 1]))
    np.testing.assert_allclose(confidence.of(2), [0.75, 0.6])


@law
def test_confidence_of_what_nobody_saw_is_not_a_number():
    """A search chooses whole texts, and shows no single choice."""
    assert np.isnan(generate.Confidence().of(3)).all()
