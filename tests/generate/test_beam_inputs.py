"""The spec of refvlm/generate/beam_inputs.py: what a beam search refuses."""

import numpy as np
import pytest

from refvlm import generate

from ..spec import assert_close, contract
from .test_beams import NO_PROMPT, chain, nothing


def search(logits=None, step=lambda ids: np.zeros((len(ids), 3)), **options):
    """A search of three tokens, two new ones, with what a test makes of it."""
    logits = np.zeros((1, 3)) if logits is None else logits
    given = {"reorder": nothing, "prompt": NO_PROMPT, "max_new_tokens": 2}
    return generate.beam_search(logits, step, **{**given, "num_beams": 2, **options})


@contract
@pytest.mark.parametrize(
    "change, message",
    [
        ({"num_beams": 0}, "num_beams must be a whole number of at least 1, not 0"),
        ({"num_beams": 2.0}, "num_beams must be a whole number .* not 2.0"),
        ({"num_beams": True}, "num_beams must be a whole number .* not True"),
        ({"num_return_sequences": 0}, "num_return_sequences must be a whole number"),
        ({"num_return_sequences": 3}, "num_return_sequences is 3, but num_beams is 2"),
        ({"max_new_tokens": -1}, "max_new_tokens must be a whole number"),
        ({"max_new_tokens": 1.5}, "max_new_tokens must be a whole number"),
        (
            {"early_stopping": "always"},
            "early_stopping must be .*\"never\", not 'always'",
        ),
        ({"early_stopping": 1}, 'early_stopping must be .*"never", not 1'),
        ({"early_stopping": None}, 'early_stopping must be .*"never", not None'),
        (
            {"length_penalty": np.nan},
            "length_penalty must be .* to 50.0, not nan",
        ),
        (
            {"length_penalty": np.inf},
            "length_penalty must be .* to 50.0, not inf",
        ),
        (
            {"length_penalty": 1e4},
            "length_penalty must be .* to 50.0, not 10000.0",
        ),
        (
            {"length_penalty": -1e4},
            "length_penalty must be .* to 50.0, not -10000.0",
        ),
        ({"length_penalty": "1"}, "length_penalty must be .* to 50.0, not '1'"),
        ({"stop_ids": [3]}, "stop_ids must be .* from 0 to 2, .* not .3"),
        (
            {"stop_ids": [0, -1]},
            "stop_ids must be .* from 0 to 2, .* not .0, -1",
        ),
        ({"stop_ids": 2}, "stop_ids must be .* from 0 to 2, .* not 2"),
        ({"stop_ids": [1.0]}, "stop_ids must be .* from 0 to 2, .* not .1.0"),
        ({"logits": np.zeros(3)}, r"logits must be .* not float64 \(3,\)"),
        ({"logits": np.zeros((1, 0))}, r"logits must be .* not float64 \(1, 0\)"),
        ({"logits": np.zeros((1, 3), int)}, r"logits must be floating .* not int64"),
        ({"prompt": np.zeros((2, 4), int)}, r"prompt .* b = 1.* not int64 \(2, 4\)"),
        ({"prompt": np.zeros((1, 4))}, r"prompt .* whole numbers .* not float64"),
        ({"prompt": np.zeros(1, int)}, r"prompt .* whole numbers .* not int64 \(1,\)"),
    ],
)
def test_beam_search_names_what_is_wrong(change, message):
    """One clear error, before anything is computed."""
    with pytest.raises(ValueError, match=f"beam_search: {message}"):
        search(**{"step": None, "reorder": None, **change})


@contract
@pytest.mark.parametrize("bad", [[np.nan, 0, 0], [np.inf, 0, 0], [-np.inf] * 3])
def test_beam_search_refuses_logits_that_are_no_distribution(bad):
    """From the prompt, or from a step: the row that is wrong is named."""
    given = np.array([[0, 0, 0], bad])
    with pytest.raises(ValueError, match="row 1 of the logits is not a distribution"):
        search(given, prompt=np.empty((2, 0), int))
    after = np.zeros((3, 3))
    after[1] = bad
    with pytest.raises(ValueError, match="row 1 of the logits is not a distribution"):
        search(np.array([[2.0, 1.0, 0.0]]), chain(after))


@contract
@pytest.mark.parametrize(
    "given",
    [np.zeros((1, 3)), np.zeros((2, 4)), np.zeros(3), np.zeros((2, 3), int), None],
)
def test_beam_search_refuses_another_shape_of_a_step(given):
    """One row of logits for each beam: fewer would broadcast."""
    with pytest.raises(ValueError, match=r"step must give .* \(2, 3\), a logit"):
        search(step=lambda ids: given)


@contract
@pytest.mark.parametrize(
    "rules, message",
    [
        (lambda scores, so_far: scores[:1], r"rules must give .* \(2, 3\)"),
        (lambda scores, so_far: None, r"rules must give .* not object"),
        (lambda scores, so_far: scores * np.nan, "row 0 of the .* after the rules"),
        (lambda scores, so_far: scores + np.inf, "row 0 of the .* after the rules"),
    ],
)
def test_beam_search_refuses_what_no_rule_may_give(rules, message):
    """As many log-probabilities as there were."""
    with pytest.raises(ValueError, match=message):
        search(rules=rules)


@contract
def test_beam_search_says_how_many_texts_there_are():
    """Of three tokens there are three texts of one token, and rules may leave none."""
    options = {"num_beams": 4, "max_new_tokens": 1}
    ids, scores = search(num_return_sequences=3, **options)
    np.testing.assert_array_equal(ids, [[0], [1], [2]])
    assert_close(scores, np.full(3, -np.log(3)))
    with pytest.raises(ValueError, match="prompt 0 can be continued in 3 ways only"):
        search(num_return_sequences=4, **options)
    with pytest.raises(ValueError, match="prompt 0 can be continued in 0 ways only"):
        search(rules=lambda scores, so_far: np.full_like(scores, -np.inf))


@contract
def test_beam_search_of_no_tokens_is_the_empty_text():
    """As in greedy decoding, nothing is asked of the model."""
    options = {"num_return_sequences": 2, "step": None, "reorder": None}
    ids, scores = search(np.zeros((3, 3)), prompt=np.zeros((3, 1), int),
                         max_new_tokens=0, **options)  # fmt: skip
    assert ids.shape == (6, 0)
    np.testing.assert_array_equal(scores, np.zeros(6))
