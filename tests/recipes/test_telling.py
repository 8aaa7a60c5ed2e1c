"""The spec of refvlm/recipes/telling.py: what is said of a scene, and its loss."""

import numpy as np
import pytest

from refvlm import ops, scenes, text
from refvlm.pretrained import shipped_model
from refvlm.recipes.packing import pack
from refvlm.recipes.telling import Telling, speaking_loss, words_of_answers
from refvlm.text.chat import DESCRIBE, IMAGE

from ..spec import assert_close, example, law


@pytest.fixture(scope="module")
def tokenizer():
    return text.load_tokenizer(shipped_model("fastvlm-tiny"))


@law
@pytest.mark.parametrize("image_tokens", [0, 1, 5])
def test_prefix_and_question_are_the_frame(tokenizer, image_tokens):
    """Put together they are the chat's prompt, wherever it is cut."""
    teller = Telling(tokenizer, image_tokens)
    image = tokenizer.token_id(IMAGE)
    for question in (DESCRIBE, "where is the red ring?", ""):
        framed = text.encode_chat(tokenizer, question, image, image_tokens)
        assert [*teller.prefix, *teller.question_ids(question)] == framed
    assert teller.prefix.count(image) == image_tokens


@law
def test_texts_are_a_caption_and_questions(tokenizer):
    """The caption is true and counts once a word; answers count three times."""
    teller = Telling(tokenizer, 0)
    scene = scenes.sample(np.random.default_rng(3), count=3)
    caption, *answers = teller.texts(scene, np.random.default_rng(4))
    assert scenes.judge(tokenizer.decode(caption.answer, markers=False), scene).true
    assert caption.weight == 1 and {a.weight for a in answers} == {3}
    assert len(answers) == teller.questions
    assert words_of_answers([[caption, *answers]]) == sum(
        len(said.answer) * said.weight for said in [caption, *answers]
    )


@example
def test_speaking_loss_is_the_mean_surprise_of_the_words(tokenizer):
    """By hand, one row: the weighted mean of -log p of each word of the answers."""
    teller = Telling(tokenizer, 0)
    scene = scenes.sample(np.random.default_rng(5))
    said = teller.texts(scene, np.random.default_rng(6))
    packed = pack(teller.prefix, [said])
    states = np.random.default_rng(7).normal(size=(*packed.ids.shape, 4))
    head = np.random.default_rng(8).normal(size=(len(tokenizer), 4))
    surprise, at = 0.0, len(teller.prefix)
    for given, answer, weight in said:
        at += len(given)
        for word in answer:
            scores = head @ states[0, at - 1]
            surprise -= weight * (scores[word] - np.log(np.exp(scores).sum()))
            at += 1
    total = words_of_answers([said])
    loss = speaking_loss(states, lambda x: ops.linear(x, head), packed, total)
    assert_close(loss, surprise / total, 1e-6)


@law
def test_hide_hides_words_of_answers_alone(tokenizer):
    """A tenth of them, from the words behind; what is to be learnt stays."""
    teller = Telling(tokenizer, 2)
    rng = np.random.default_rng(9)
    rows = [teller.texts(scenes.sample(rng), rng) for _ in range(40)]
    packed = pack(teller.prefix, rows)
    hidden = teller.hide(packed, rng)
    changed = hidden.ids != packed.ids
    assert (hidden.ids[changed] == teller.blank).all()
    assert (packed.labels[changed] >= 0).all()
    assert 0.05 < changed.sum() / (packed.labels >= 0).sum() < 0.15
    assert hidden.labels is packed.labels
