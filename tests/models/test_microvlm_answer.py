"""The spec of refvlm/models/microvlm_answer.py."""

import numpy as np
import pytest

from refvlm.checkpoint import Weights
from refvlm.models import microvlm, microvlm_answer
from refvlm.recipes.remembering import passes
from refvlm.recipes.remembering.rows import Asked, ask_in_rows
from refvlm.shapes import ShapeError

from .. import microvlm_oracle, microvlms
from ..oracles import all_double
from ..spec import assert_close, contract, law, oracle

DOCUMENT = microvlms.changed(memory=microvlms.TOKENS)
CONFIG, TENSORS = microvlms.built(DOCUMENT)
WEIGHTS = Weights(TENSORS)
PAST = microvlms.pictures(12).reshape(3, 4, 3, 13, 13)
PRESENT = microvlms.pictures(3, seed=8)
IDS = microvlms.texts(3, 9)[0]
QUESTIONS, ANSWERS = IDS[:, :6], IDS[:, 6:]


def answer(past=PAST, questions=QUESTIONS, present=PRESENT, weights=WEIGHTS):
    """Of three episodes of four pictures, an answer of three tokens each."""
    return microvlm_answer.microvlm_answer(
        past, questions, ANSWERS, weights, CONFIG, present
    )


@law
@pytest.mark.parametrize("seen", [True, False])
def test_microvlm_answer_without_its_gate_is_a_decoder_with_a_prefix(seen):
    """Closed, the memory is not there: picture, question and answer are one text. Open,
    it changes what follows every token of the answer."""
    closed = WEIGHTS.replace({"scope_detector.mlp.6.bias": np.array([-np.inf])})
    present = PRESENT if seen else None
    text = WEIGHTS[microvlm.EMBEDDING][IDS]
    if seen:
        pictures = microvlm.encode_image(PRESENT, WEIGHTS, CONFIG)
        text = np.concatenate([pictures, text], axis=1)
    scope = WEIGHTS.scope(microvlm.DECODER)
    hidden = microvlm.SPEAKER.forward(text, scope, CONFIG.text)
    alone = microvlm.SPEAKER.logits(hidden[:, -3:], WEIGHTS)
    shut = answer(present=present, weights=closed).logits
    assert_close(shut, alone)
    heard = np.abs(answer(present=present).logits - shut).max(axis=2)
    assert heard.min() > 1e-3


@law
def test_microvlm_answer_keeps_every_episode_to_itself():
    """Another picture of one episode's past changes what is answered there, and there
    alone."""
    other = PAST.copy()
    other[1, 2] = PRESENT[0]
    before, after = answer().logits, answer(other).logits
    assert_close(after[[0, 2]], before[[0, 2]])
    assert np.abs(after[1] - before[1]).max(axis=-1).min() > 1e-5


@law
def test_microvlm_answer_asks_by_the_last_word_and_what_is_seen():
    """The address moves with the question, and with the picture beside it; what is
    remembered does not."""
    before = answer()
    other = QUESTIONS.copy()
    other[:, -1] = (other[:, -1] + 1) % 19
    for after in (answer(questions=other), answer(present=PRESENT[::-1].copy())):
        moved = np.abs(after.recall.address - before.recall.address)
        assert moved[[0, 2]].max(axis=(1, 2)).min() > 1e-4
        np.testing.assert_array_equal(after.memory.mean, before.memory.mean)


@law
def test_microvlm_answer_is_what_the_recipe_packs():
    """Many questions in one row, each with a slot of its own, say what one alone
    says."""
    asked = [[Asked([*q], [*a, 0])] for q, a in zip(QUESTIONS, ANSWERS)]
    pictures = microvlm.encode_image(PRESENT, WEIGHTS, CONFIG)
    rows = ask_in_rows(asked, picture=pictures.shape[1])
    read = passes.read_rows(pictures, rows, WEIGHTS, CONFIG)
    assert_close(
        passes.answer_rows(rows, read, WEIGHTS, CONFIG),
        answer(
            weights=WEIGHTS.replace({"scope_detector.mlp.6.bias": np.array([-np.inf])})
        ).logits,
    )
    found = answer()
    gate = -np.logaddexp(0, -found.recall.gate)
    slots = passes.own_slots(found.recall.read, gate, rows, WEIGHTS, CONFIG)
    packed = passes.answer_rows(rows, read, WEIGHTS, CONFIG, slots)
    assert_close(packed, found.logits)


@oracle
@pytest.mark.parametrize("change", [{}, {"heads": 6}, {"ridge": None}])
def test_microvlm_answer_equals_its_composition_in_torch(compare, tmp_path, change):
    """Three tokens of each picture are written, a question is read without them, and
    only the answer sees what it asked for."""
    document = microvlms.changed(memory={**microvlms.TOKENS, **change})
    config, tensors = microvlms.built(document)

    def ask(torch):
        microvlm_oracle.import_all()
        with all_double(torch), torch.no_grad():
            model = microvlm_oracle.Composed(torch, document, tensors, tmp_path)
            given = map(torch.from_numpy, (PAST, QUESTIONS, ANSWERS))
            found = model.answered(*given)
        return {name: answer.numpy().copy() for name, answer in found.items()}

    inputs = (document, tensors, PAST, IDS)
    expected = compare.answers(ask, inputs, tolerance=1e-9)
    assert expected["logits"].std() > 0.3
    for dtype, tolerance in ((np.float64, 1e-11), (np.float32, 1e-5)):
        weights = Weights({name: a.astype(dtype) for name, a in tensors.items()})
        logits, found, memory = microvlm_answer.microvlm_answer(
            PAST.astype(dtype), QUESTIONS, ANSWERS, weights, config
        )
        ours = {"mean": memory.mean, "address": found.address, "read": found.read}
        ours["logits"] = logits
        for name, wanted in expected.items():
            assert_close(ours[name], wanted.astype(dtype), tolerance)


@contract
def test_microvlm_answer_refuses_a_wiring_that_asks_ahead():
    """That is the source's, whose forward is another; and episodes of its own number
    of questions."""
    config, tensors = microvlms.built()
    told = "microvlm_answer: config.memory.wiring is 'contexts', which asks before"
    with pytest.raises(ValueError, match=told + ".* call models.microvlm.microvlm"):
        microvlm_answer.microvlm_answer(
            PAST, QUESTIONS, ANSWERS, Weights(tensors), config
        )
    with pytest.raises(ShapeError, match="microvlm_answer"):
        answer(PAST[:2])
