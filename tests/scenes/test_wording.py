"""The spec of refvlm/scenes/wording.py: the list is what is asked."""

from collections import Counter

import numpy as np
import pytest

from refvlm import scenes
from refvlm.scenes import wording

from ..spec import example, law


@law
def test_forms_are_all_that_is_asked_and_nothing_else():
    """Every question of a thousand scenes has a form of its kind, and every form
    occurs: the lists of the README and of the card cannot drift from the questions."""
    asked = Counter()
    for number in range(1000):
        rng = np.random.default_rng([number, 5])
        split = scenes.SPLITS[number % 2]
        scene = scenes.sample(rng, split)
        for question in scenes.questions(scene, rng, 10, split):
            form = wording.form_of(question.text)
            assert form in wording.FORMS[question.kind], question
            asked[form] += 1
    assert set(asked) == {f for forms in wording.FORMS.values() for f in forms}
    assert tuple(wording.FORMS) == scenes.KINDS


@law
def test_forms_of_episodes_are_all_that_is_asked_of_them():
    """The same of a thousand episodes; both kinds of order share their words."""
    asked = Counter()
    for number in range(1000):
        rng = np.random.default_rng([number, 6])
        split = scenes.SPLITS[number % 2]
        episode = scenes.sample_episode(rng, 1 + number % 8, split)
        for question in scenes.recollections(episode, rng, 4, split):
            form = wording.form_of(question.text, wording.OF_EPISODES)
            kind = question.kind.removesuffix(" alone")
            assert form in wording.OF_EPISODES[kind], question
            asked[form] += 1
    forms = wording.OF_EPISODES.values()
    assert set(asked) == {form for kind in forms for form in kind}


@law
def test_as_list_says_what_its_own_capitals_stand_for():
    """A question of a scene has no ordinal; one of an episode has no plural."""
    for forms, words in (
        (wording.FORMS, ["THING", "SIZE", "COLOUR", "SHAPES", "SHAPE"]),
        (wording.OF_EPISODES, ["COLOUR", "SHAPE", "ORDINAL"]),
    ):
        lines = wording.as_list(forms)
        meant = lines[lines.index("") + 1 :]
        assert [line.split()[0] for line in meant] == words


@example
@pytest.mark.parametrize(
    "question",
    [
        "what color is the star?",
        "What colour is the star?",
        "what colour is the star",
        "what colour is the stars?",
        "is there a orange star?",
        "is there an red star?",
        "are there more star than rings?",
        "how many objects are there? ",
    ],
)
def test_form_of_knows_every_letter(question):
    """What is spelled otherwise was never asked in training."""
    assert wording.form_of(question) is None


@example
@pytest.mark.parametrize(
    "question, known",
    [
        ("What color is the small star", "what colour is the small star?"),
        ("HOW MANY  OBJECTS ARE THERE ?", "how many objects are there?"),
        ("where is the red ring？", "where is the red ring?"),
        ("is there a dog?", None),
        ("which colour does the star have?", None),
    ],
)
def test_spelled_as_known_mends_the_spelling_alone(question, known):
    """Capitals, spaces, a question mark, "color": not the words."""
    assert wording.spelled_as_known(question) == known


@law
def test_as_list_has_every_form_and_every_word():
    """What `ask --questions` prints, in lines for a terminal of 80 columns."""
    lines = wording.as_list()
    assert max(map(len, lines)) < 80
    for forms in wording.FORMS.values():
        assert all(any(line.endswith(form) for line in lines) for form in forms)
    for words in (scenes.SHAPES, scenes.COLOURS, scenes.SIZES):
        assert any(", ".join(words) in line for line in lines)
