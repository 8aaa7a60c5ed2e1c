"""The spec of refvlm/recipes/remembering/speech.py."""

import numpy as np
import pytest

from refvlm import scenes
from refvlm.recipes.remembering.speech import QUESTIONS, Speech, episode_tokenizer
from refvlm.text.chat import DESCRIBE, END

from ...spec import example, law


@pytest.fixture(scope="module")
def speech():
    return Speech(episode_tokenizer())


@example
def test_every_word_is_one_token(speech):
    """Wherever it stands but at the beginning of a question, and its answer too."""
    tokenizer = speech.tokenizer
    question = "in the picture with the pink star, what colour was the other object?"
    ids = tokenizer.encode(question, markers=False)
    assert len(ids) == len(question.replace(",", " ,").replace("?", " ?").split())
    for word in (*scenes.COLOURS, *scenes.SHAPES, *scenes.SIZES, *scenes.ORDINALS):
        assert len(tokenizer.encode(f" {word}", markers=False)) == 1, word


@law
def test_a_question_is_asked_as_in_training(speech):
    """Behind its words stands the marker that the tokenizer puts behind any text."""
    before, after = speech.tokenizer.frame
    asked = speech.asked("what colour is the ring?", "red")
    words = speech.tokenizer.encode("what colour is the ring?", markers=False)
    assert asked.words == [*before, *words]
    assert asked.answer[: len(after)] == after and len(after) == 1
    assert asked.answer[-1] == speech.tokenizer.token_id(END)


@law
def test_a_row_asks_some_of_the_past_blind(speech):
    """And never of the present, which is to be looked at; each question keeps the
    number of the picture that it means."""
    rng = np.random.default_rng(0)
    blind, of_present = [], []
    for _ in range(40):
        asked = scenes.recollections(scenes.sample_episode(rng, 3), rng, QUESTIONS)
        row, meant = speech.row(asked, rng, blind=0.4)
        assert meant == [-1 if q.picture is None else q.picture for q in asked]
        blind += [one.blind for one, of in zip(row, meant) if of >= 0]
        of_present += [one.blind for one, of in zip(row, meant) if of < 0]
    assert 0.3 < np.mean(blind) < 0.5 and not any(of_present)


@example
def test_a_caption_counts_less_by_the_word(speech):
    """It has many; and it is what is said where nothing else is asked."""
    described = speech.described("a red ring.")
    assert speech.tokenizer.decode(described.words) == DESCRIBE
    assert described.weight == pytest.approx(1 / 3)
    said = speech.tokenizer.decode(described.answer[1:-1])
    assert said == " a red ring."
