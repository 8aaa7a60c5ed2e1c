"""Questions: one right answer each, found again here by looking at the objects."""

import itertools
import re
from collections import Counter, defaultdict

import hypothesis
import numpy as np
import pytest

from refvlm import scenes
from refvlm.scenes import Question

from ..spec import contract, example, law
from .worlds import mentions, seeds, splits, thing

WORDS = {"size": scenes.SIZES, "colour": scenes.COLOURS, "shape": scenes.SHAPES}


def asked(scene, number=200, seed=0, **options):
    return scenes.questions(scene, np.random.default_rng(seed), number, **options)


def matching(scene, phrase):
    """The objects that a phrase fits: all its words are true about them."""
    singular = {f"{shape}s": shape for shape in scenes.SHAPES} | {"crosses": "cross"}
    words = [singular.get(word, word) for word in phrase.split()]
    words = [word for word in words if word not in ("object", "objects")]
    known = set(itertools.chain(*WORDS.values()))
    assert set(words) <= known, phrase
    return [t for t in scene.objects if {t.size, t.colour, t.shape} >= set(words)]


def only(scene, phrase):
    """The one object that a phrase fits."""
    (found,) = matching(scene, phrase)
    return found


def is_larger(scene, first, second):
    one, other = only(scene, first), only(scene, second)
    assert one.size != other.size
    return f"the {first if one.radius > other.radius else second}"


def where(found):
    down = ("top ", "", "bottom ")[int(found.y * 3)]
    across = ("left", "", "right")[int(found.x * 3)]
    return (down + across).strip() or "centre"


def yes(truth):
    return "yes" if truth else "no"


def count(scene, phrase):
    return len(matching(scene, phrase))


SIDES = {
    "to the left of": lambda one, other: one.x < other.x,
    "to the right of": lambda one, other: one.x > other.x,
    "above": lambda one, other: one.y < other.y,
    "below": lambda one, other: one.y > other.y,
}

ANSWERS = {
    r"what colour is the (.+)\?": lambda s, a: only(s, a).colour,
    r"what shape is the (.+)\?": lambda s, a: only(s, a).shape,
    r"is the (.+) large or small\?": lambda s, a: only(s, a).size,
    r"how many (.+) are there\?": lambda s, a: scenes.NUMBERS[count(s, a)],
    r"where is the (.+)\?": lambda s, a: where(only(s, a)),
    r"is there an? (.+)\?": lambda s, a: yes(count(s, a)),
    r"is the (.+) to the left or to the right of the (.+)\?": (
        lambda s, a, b: "left" if only(s, a).x < only(s, b).x else "right"
    ),
    r"is the (.+) above or below the (.+)\?": (
        lambda s, a, b: "above" if only(s, a).y < only(s, b).y else "below"
    ),
    r"is the (.+) (to the left of|to the right of|above|below) the (.+)\?": (
        lambda s, a, side, b: yes(SIDES[side](only(s, a), only(s, b)))
    ),
    r"which is larger, the (.+) or the (.+)\?": is_larger,
    r"are the (.+) and the (.+) the same size\?": (
        lambda s, a, b: yes(only(s, a).size == only(s, b).size)
    ),
    r"are there more (.+) than (.+)\?": lambda s, a, b: yes(count(s, a) > count(s, b)),
}


def answer(scene, text):
    """The answer to a question, by its words and the objects alone."""
    for form, find in ANSWERS.items():
        if match := re.fullmatch(form, text):
            return find(scene, *match.groups())
    raise AssertionError(f"no form of question: {text}")


@example
def test_questions_about_one_object():
    """All that can be asked about a large red star at the top left, but for what is
    not there and for numbers."""
    scene = scenes.Scene((thing("star", "red", "large", 0.2, 0.2),))
    found = {(q.text, q.answer) for q in asked(scene)}
    assert found >= {
        ("what colour is the star?", "red"),
        ("what shape is the red object?", "star"),
        ("is the red star large or small?", "large"),
        ("where is the red star?", "top left"),
        ("how many objects are there?", "one"),
        ("how many red objects are there?", "one"),
        ("how many crosses are there?", "zero"),
        ("is there a red star?", "yes"),
        ("is there a large red star?", "yes"),
        ("is there a small red star?", "no"),
        ("is there an orange star?", "no"),
    }


@example
def test_questions_name_the_size_where_it_tells_objects_apart():
    """Of two red stars, one large and one small, "the red star" is neither."""
    scene = scenes.Scene(
        (
            thing("star", "red", "large", 0.2, 0.2),
            thing("star", "red", "small", 0.8, 0.8),
        )
    )
    texts = {q.text for q in asked(scene)}
    assert "where is the small red star?" in texts
    assert "what colour is the large star?" in texts
    assert "is the small red star below the large red star?" in texts
    assert not any(re.search(r"the (red )?star", text) for text in texts)
    assert {q.kind for q in asked(scene)} == set(scenes.KINDS) - {"size"}


@law
@hypothesis.settings(max_examples=60)
@hypothesis.given(seed=seeds, split=splits)
def test_questions_have_the_right_answer(seed, split):
    """Every question is understood by its words alone, means one object where it says
    "the", and is answered rightly."""
    rng = np.random.default_rng(seed)
    scene = scenes.sample(rng, split)
    for question in scenes.questions(scene, rng, 30, split):
        assert question.answer == answer(scene, question.text), question


@law
@hypothesis.given(seed=seeds)
def test_questions_of_training_name_no_held_out_pair(seed):
    """Not even as what is not there."""
    rng = np.random.default_rng(seed)
    scene = scenes.sample(rng)
    for question in scenes.questions(scene, rng, 30):
        said = mentions(question.text) | mentions(question.answer)
        assert not said & set(scenes.HELD_OUT)


@law
@hypothesis.given(seed=seeds)
def test_questions_of_the_unseen_split_are_about_held_out_objects(seed):
    """Where a question names an object by colour and shape, one named is held out, as
    long as a held-out object can be told apart."""
    rng = np.random.default_rng(seed)
    scene = scenes.sample(rng, "unseen")
    pairs = Counter(t.pair for t in scene.objects)
    hypothesis.assume(max(pairs.values()) == 1)
    weights = {"size": 1, "relation": 1}
    for question in scenes.questions(scene, rng, 10, "unseen", weights):
        assert mentions(question.text) & set(scenes.HELD_OUT)


@law
@hypothesis.given(seed=seeds, split=splits)
def test_questions_follow_from_the_seed(seed, split):
    """As many as asked for, and the same each time."""
    scene = scenes.sample(np.random.default_rng(seed), split)
    first = asked(scene, 6, seed, split=split)
    assert len(first) == 6
    assert first == asked(scene, 6, seed, split=split)


def many_questions(**options):
    rng = np.random.default_rng(11)
    for _ in range(1500):
        scene = scenes.sample(rng)
        yield from scenes.questions(scene, rng, 4, **options)


QUESTIONS = list(many_questions())


@law
def test_questions_are_answered_yes_as_often_as_no():
    """By kind and by form, within four standard errors: who answers without looking
    is right half the time."""
    answers = defaultdict(list)
    for question in QUESTIONS:
        if question.answer in ("yes", "no"):
            sized = bool(re.search("large|small", question.text))
            form = " ".join(question.text.split()[:3]).replace(" an", " a")
            for group in (question.kind, (question.kind, sized), form):
                answers[group].append(question.answer == "yes")
    assert {"exists", "relation", "compare"} <= answers.keys()
    for group, found in answers.items():
        if len(found) >= 40:
            assert abs(np.mean(found) - 0.5) < 2 / len(found) ** 0.5, group


@law
def test_questions_after_equal_size_are_balanced():
    """Not asked the more often where all sizes are the same: then the question itself
    would say yes."""
    texts = [q for q in many_questions(weights={"compare": 1}) if "same" in q.text]
    share = np.mean([question.answer == "yes" for question in texts])
    assert len(texts) > 800 and abs(share - 0.5) < 0.07


@law
def test_questions_have_no_answer_that_is_nearly_always_right():
    """No answer takes more than 45 % of its kind, but yes and no, large and small."""
    for kind in ("colour", "shape", "count", "where"):
        found = Counter(q.answer for q in QUESTIONS if q.kind == kind)
        share = max(found.values()) / sum(found.values())
        assert share < 0.45, (kind, found)
        assert len(found) == {"colour": 8, "shape": 6, "count": 5, "where": 9}[kind]


@law
def test_questions_that_are_answered_no_are_mostly_hard():
    """Three of four name a colour and a shape of which one, or both, are there."""
    rng = np.random.default_rng(5)
    near = []
    for _ in range(400):
        scene = scenes.sample(rng)
        for question in scenes.questions(scene, rng, 2, weights={"exists": 1}):
            ((colour, shape),) = mentions(question.text)
            if question.answer == "no":
                near.append(bool(count(scene, colour) or count(scene, shape)))
    assert np.mean(near) > 0.75


@law
def test_questions_are_weighted_by_kind():
    """Three times the weight is three times as often, and no weight is never."""
    weights = {"exists": 3.0, "count": 1.0}
    kinds = Counter(q.kind for q in many_questions(weights=weights))
    assert kinds.keys() == {"exists", "count"}
    assert 2.5 < kinds["exists"] / kinds["count"] < 3.6


@law
def test_questions_use_a_small_vocabulary_without_periods():
    """Answers are bare words."""
    assert all(q.kind in scenes.KINDS for q in QUESTIONS)
    assert not any("." in q.answer or q.answer != q.answer.lower() for q in QUESTIONS)
    words = {word for q in QUESTIONS for word in re.findall(r"\w+", q.text)}
    assert len(words) < 70


@contract
def test_questions_that_cannot_be_asked_are_left_out():
    """Nothing lies beside a single object."""
    scene = scenes.Scene((thing("star", "red"),))
    assert asked(scene, 3, weights={"relation": 1.0}) == []
    assert asked(scene, 0) == []


@contract
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"split": "test"}, "split is 'test'"),
        ({"weights": {"smell": 1.0}}, "there is no kind smell"),
        ({"weights": {"size": -1.0}}, "finite and not negative"),
        ({"weights": {"size": float("inf")}}, "finite and not negative"),
        ({"weights": {"size": float("nan")}}, "finite and not negative"),
    ],
)
def test_questions_refuse_unknown_kinds(options, complaint):
    """A typing mistake in a weight's name would otherwise ask nothing."""
    with pytest.raises(ValueError, match=complaint):
        asked(scenes.Scene((thing("star", "red"),)), 1, **options)


@contract
def test_question_is_its_three_fields():
    """A question compares equal by kind, text and answer."""
    assert Question("a", "b", "c") == Question("a", "b", "c") != Question("a", "b", "d")
