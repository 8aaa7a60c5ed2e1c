"""The spec of refvlm/scenes/recalling.py: one right answer each, found again here by
looking through the whole episode for what a text can mean."""

import re
from collections import Counter

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from refvlm import scenes
from refvlm.scenes import Recollection
from refvlm.scenes.recalling import ASKED

from ..spec import contract, example, law
from .worlds import mentions, seeds, splits, thing

EVERY = dict.fromkeys(scenes.RECALLED, 1.0)
lengths = st.sampled_from([1, 2, 3, 4, 8, 16])
WORDS = {"colour": scenes.COLOURS, "shape": scenes.SHAPES, "size": scenes.SIZES}


def asked(episode, number=40, seed=0, weights=EVERY, split="train"):
    rng = np.random.default_rng(seed)
    return scenes.recollections(episode, rng, number, split, weights)


def episode_of(*pairs):
    """An episode of scenes like "red star, blue ring", the present one last."""
    made = []
    for pair in pairs:
        words = [one.split() for one in pair.split(", ")]
        made.append(scenes.Scene(tuple(thing(w[-1], w[-2], *w[:-2]) for w in words)))
    return scenes.Episode(tuple(made[:-1]), made[-1])


def attribute(what):
    """Which attribute these words ask for."""
    (which,) = {
        name
        for name, words in {
            "colour": "what colour",
            "shape": "what shape",
            "size": "large or small",
        }.items()
        if words in what
    }
    return which


def meant(objects, name):
    """The objects that have all the words of a name."""
    words = set(name.split()) - {"object"}
    return [t for t in objects if {t.size, t.colour, t.shape} >= words]


def answers(episode, text):
    """Every answer that can be defended, by the text and the objects alone."""
    if match := re.fullmatch(r"in which picture was the (.+)\?", text):
        for word, scene in zip(scenes.ORDINALS, episode.past):
            yield from (word for _ in meant(scene.objects, match[1]))
        later = episode.past[len(scenes.ORDINALS) :]
        yield from ("later" for s in later for _ in meant(s.objects, match[1]))
        return
    if match := re.fullmatch(r"in the picture with the (.+), (.*other object.*)", text):
        for scene in episode.past:
            for cue in meant(scene.objects, match[1]):
                (other,) = [t for t in scene.objects if t is not cue]
                yield getattr(other, attribute(match[2]))
        return
    objects = episode.present.objects
    if match := re.fullmatch(r"in the (\w+) picture, (.+)", text):
        objects = episode.past[scenes.ORDINALS.index(match[1])].objects
        text = match[2]
    assert ("was" if match else "is") in text.split()
    (name,) = re.findall(r"(?:is|was) the (.+?)(?: large or small)?\?", text)
    yield from (getattr(t, attribute(text)) for t in meant(objects, name))


@example
def test_recollections_of_one_picture():
    """All that can be asked of one picture, in words, but for the halves of it."""
    episode = episode_of("small green star, red ring", "blue ring, pink cross")
    found = {(q.kind, q.text, q.answer) for q in asked(episode, 400)}
    assert found >= {
        ("present", "what colour is the ring?", "blue"),
        ("present", "what shape is the blue object?", "ring"),
        ("present", "is the pink object large or small?", "large"),
        (
            "content",
            "in the picture with the green star, what colour was the other object?",
            "red",
        ),
        (
            "content",
            "in the picture with the red ring, was the other object large or small?",
            "small",
        ),
        ("order", "in the first picture, what shape was the red object?", "ring"),
        ("order", "in the first picture, was the star large or small?", "small"),
        ("which", "in which picture was the green star?", "first"),
    }
    assert not any(kind == "order alone" for kind, _, _ in found)


@example
def test_only_what_another_picture_answers_otherwise_needs_the_order():
    """There are two circles of two colours; the ring was red in both of its pictures,
    and there is one star."""
    episode = episode_of(
        "red circle, blue star",
        "green circle, red ring",
        "red ring, yellow cross",
        "pink circle, orange star",
    )
    found = {q.text for q in asked(episode, 400, weights={"order alone": 1})}
    assert found == {
        "in the first picture, what colour was the circle?",
        "in the second picture, what colour was the circle?",
        "in the first picture, what shape was the red object?",
        "in the second picture, what shape was the red object?",
        "in the third picture, what shape was the red object?",
    }


@law
@hypothesis.settings(max_examples=60)
@hypothesis.given(seed=seeds, split=splits, length=lengths)
def test_recollections_have_one_right_answer(seed, split, length):
    """What the text can mean in the whole episode has one answer, which is theirs and
    one word."""
    rng = np.random.default_rng(seed)
    episode = scenes.sample_episode(rng, length, split)
    for question in scenes.recollections(episode, rng, 30, split, EVERY):
        (found,) = answers(episode, question.text)
        assert question.answer == found and " " not in found
        assert scenes.judge_answer(f"The {found}.", question)
        assert not scenes.judge_answer("none", question)


@law
@hypothesis.given(seed=seeds, length=lengths)
def test_a_cue_of_two_words_occurs_once_in_the_episode(seed, length):
    """Not in the present picture either, which nobody has to remember."""
    rng = np.random.default_rng(seed)
    episode = scenes.sample_episode(rng, length)
    often = Counter(t.pair for scene in episode.scenes for t in scene.objects)
    for question in scenes.recollections(episode, rng, 30):
        for pair in mentions(question.text):
            assert often[pair] == 1 and question.kind in ("content", "which")


@law
@hypothesis.given(seed=seeds, split=splits, length=lengths)
def test_recollections_say_what_their_text_says(seed, split, length):
    """Who trains without a tokenizer reads fields instead of words."""
    rng = np.random.default_rng(seed)
    episode = scenes.sample_episode(rng, length, split)
    for question in scenes.recollections(episode, rng, 20, split, EVERY):
        assert {*question.cue} <= {*re.findall(r"\w+", question.text)}
        assert (question.picture is None) == (question.kind == "present")
        if question.asked == "picture":
            assert scenes.ORDINALS[question.picture] == question.answer
            continue
        assert question.answer in WORDS[question.asked]
        assert question.asked == attribute(question.text)
        if question.picture is not None:
            things = episode.past[question.picture].objects
            assert any(set(question.cue) <= {t.colour, t.shape} for t in things)
            assert question.answer in {getattr(t, question.asked) for t in things}


@law
@hypothesis.given(seed=seeds, length=lengths)
def test_recollections_of_training_name_no_held_out_pair(seed, length):
    """Neither in the text nor in the answer."""
    rng = np.random.default_rng(seed)
    episode = scenes.sample_episode(rng, length)
    for question in scenes.recollections(episode, rng, 20, weights=EVERY):
        assert not mentions(question.text) & set(scenes.HELD_OUT)
        words = {*question.cue, question.answer}
        if question.kind != "content":
            assert not any(set(pair) <= words for pair in scenes.HELD_OUT)


@law
@hypothesis.given(seed=seeds)
def test_recollections_of_the_unseen_split_are_about_held_out_objects(seed):
    """Their cue, or what they ask of, wherever one can be asked for."""
    rng = np.random.default_rng(seed)
    episode = scenes.sample_episode(rng, 2, "unseen")
    weights = {"present": 1, "order": 1}
    for question in scenes.recollections(episode, rng, 10, "unseen", weights):
        shown = episode.scenes[-1 if question.picture is None else question.picture]
        (thing,) = meant(shown.objects, " ".join(question.cue))
        assert thing.pair in scenes.HELD_OUT
    pairs = [thing.pair for scene in episode.scenes for thing in scene.objects]
    hypothesis.assume(len({*pairs}) == len(pairs))
    weights = {"content": 1, "which": 1}
    for question in scenes.recollections(episode, rng, 10, "unseen", weights):
        assert question.cue in scenes.HELD_OUT


@law
@hypothesis.given(seed=seeds, split=splits, length=lengths)
def test_recollections_follow_from_the_seed(seed, split, length):
    """As many as asked for, and the same each time."""
    episode = scenes.sample_episode(np.random.default_rng(seed), length, split)
    first = asked(episode, 8, seed, None, split)
    assert len(first) == 8 and first == asked(episode, 8, seed, None, split)
    # Of one picture there are hardly more that could be asked.
    assert len({*first}) == 8 or length == 1


@law
def test_pictures_without_a_number_are_asked_for_by_content_alone():
    """The ninth has no word."""
    rng = np.random.default_rng(3)
    last = Counter()
    for _ in range(40):
        episode = scenes.sample_episode(rng, 12)
        for question in scenes.recollections(episode, rng, 10, weights=EVERY):
            if question.picture is not None and question.picture >= 8:
                last[question.kind] += 1
    assert last.keys() == {"content"}


def many(length=4, episodes=3000, seed=5, **options):
    """Questions about many episodes of few scenes."""
    rng = np.random.default_rng(seed)
    pool = [scenes.sample_two(rng) for _ in range(400)]
    for _ in range(episodes):
        episode = scenes.compose(pool, scenes.choose(rng, len(pool), length))
        yield from scenes.recollections(episode, rng, 5, **options)


def near(share, asked):
    """Within four standard errors."""
    return pytest.approx(share, abs=4 * (share * (1 - share) / asked) ** 0.5)


@law
def test_recollections_are_asked_as_often_as_their_weights_say():
    """Kinds by the argument, attributes as by 42, 42 and 16 in a hundred; each past
    picture as often as another."""
    weights = {"content": 2, "which": 1, "present": 0}
    found = [*many(weights=weights)]
    kinds = Counter(q.kind for q in found)
    assert kinds.keys() == {"content", "which"}
    assert kinds["which"] / len(found) == pytest.approx(1 / 3, abs=0.03)
    attributes = Counter(q.asked for q in found if q.kind == "content")
    for name, share in ASKED.items():
        # A little towards what has more answers, since questions differ.
        assert attributes[name] / kinds["content"] == pytest.approx(share, abs=0.03)
    for number in range(4):
        asked = [q.picture == number for q in found]
        assert sum(asked) / len(asked) == near(0.25, len(asked))


@law
def test_chance_is_what_the_words_of_a_question_leave():
    """One of seven colours or of five shapes or of two sizes beside the cue, a little
    more where colours are rarer; one picture of four; and 100 % for one of one."""
    known, fresh = [*many(weights=EVERY)], [*many(seed=6, weights=EVERY)]
    found = scenes.chance(fresh, known)
    assert found.keys() == {*scenes.RECALLED, "all"}
    assert found["which"] == pytest.approx(0.25, abs=0.03)
    for kind in ("content", "order", "present"):
        assert 0.19 < found[kind] < 0.27
    alone = [*many(length=1, episodes=50, weights={"which": 1})]
    assert scenes.chance(alone, alone) == {"which": 1.0, "all": 1.0}


@law
def test_chance_is_no_knowledge_of_the_questions_themselves():
    """Words that nobody has heard before are answered wrongly, not looked up."""
    (question,) = asked(episode_of("red star, blue ring", "pink cross, red ring"), 1)
    assert scenes.chance([question], known=[]) == {question.kind: 0.0, "all": 0.0}
    assert scenes.chance([], known=[question]) == {}


@contract
@pytest.mark.parametrize(
    "options, told",
    [
        ({"split": "test"}, "split is 'test', but must be train or unseen"),
        ({"weights": {"past": 1}}, "there is no kind past: there are present, content"),
        ({"weights": {"which": -1}}, "weights are finite and not negative"),
        ({"weights": {"which": float("inf")}}, "weights are finite and not negative"),
    ],
)
def test_recollections_refuse_what_they_cannot_ask(options, told):
    """By name, with what there is."""
    episode = episode_of("red star, blue ring", "pink cross, red ring")
    with pytest.raises(ValueError, match=f"recollections: {told}"):
        scenes.recollections(episode, np.random.default_rng(0), 3, **options)


@contract
def test_recollections_are_fewer_where_nothing_can_be_asked():
    """A pair that occurs twice is no cue, and one picture needs no order."""
    episode = episode_of("red star, blue ring", "red star, blue ring")
    nothing = {"content": 1, "which": 1, "order alone": 1}
    assert asked(episode, 5, weights=nothing) == []
    assert asked(episode, 5, weights={}) == []
    assert asked(episode, 5, weights={"order": 0}) == []
    assert isinstance(asked(episode, 1, weights={"order": 1})[0], Recollection)
