"""Learning a unigram model: what is expected, what is dropped, what remains."""

import itertools
import json
import math
from collections import Counter

import numpy as np
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, trainers

from refvlm.text.unigram.lattices import Lattices
from refvlm.text.unigram.seeds import frequent_substrings, seed_pieces
from refvlm.text.unigram.segmentation import (
    unigram_expected_counts,
    unigram_log_probability,
    unigram_viterbi,
)
from refvlm.text.unigram.training import losses, unigram_em_step, unigram_train

from ...spec import contract, example, law, oracle
from .test_segmentation import enumerated

counted = st.dictionaries(
    st.text("abcd", min_size=1, max_size=9), st.integers(1, 5), min_size=1, max_size=8
)
several = st.text("abcd", min_size=2, max_size=4)
tables = st.dictionaries(several, st.floats(-9, 0), max_size=9).map(
    lambda longer: dict.fromkeys("abcd", -3.0) | longer
)


@example
def test_unigram_em_step_on_two_words():
    """ab three times, a once: from equal scores, ab takes over, step by step."""
    scores = {"a": -1.0, "b": -1.0, "ab": -1.0}
    shares = []
    for _ in range(3):
        scores, _ = unigram_em_step({"ab": 3, "a": 1}, scores)
        shares.append({piece: math.exp(score) for piece, score in scores.items()})
    # ab is written as ab with weight 1/e of 1/e + 1/e², and so 0.731 of three times.
    assert shares[0] == pytest.approx({"a": 0.376, "b": 0.168, "ab": 0.456}, abs=1e-3)
    assert shares[2]["ab"] > shares[1]["ab"] > shares[0]["ab"]


@example
def test_seed_pieces_are_characters_and_what_occurs_twice():
    """In banana, 5 substrings occur twice; length counts, so ana comes first."""
    letters = {"a": 3, "n": 2, "b": 1}
    longer = {"ana": 6, "an": 4, "na": 4}
    assert seed_pieces({"banana": 1}, 9, 16) == letters | longer


@example
def test_unigram_train_keeps_what_the_words_are_made_of():
    """Of all substrings, six remain: a front and five stems, and none by chance."""
    stems = [
        "like",
        "real",
        "safe",
        "kind",
        "fair",
        "able",
        "do",
        "read",
        "walk",
        "fit",
        "play",
        "tie",
        "clear",
        "well",
    ]
    fronts, ends = ["un", "re", ""], ["", "ly", "er", "ing"]
    words = {a + b + c: 9 for a in fronts for b in stems for c in ends}
    alphabet = {letter for word in words for letter in word}
    longer = unigram_train(words, len(alphabet) + 6).keys() - alphabet
    assert len(longer) == 6 and "un" in longer
    assert longer < {*stems, *fronts, *ends}


@law
@given(counted, tables)
def test_lattices_sum_what_single_words_do(words, scores):
    """All words at once are expected to use what each alone is, times its number."""
    lattices = Lattices(list(words), list(scores))
    log_p, times = (
        np.array(list(scores.values())),
        np.array(list(words.values()), float),
    )
    counts, likelihood = lattices.expected_counts(log_p, times)
    sums = dict.fromkeys(scores, 0.0)
    for word, number in words.items():
        for piece, count in unigram_expected_counts(word, scores).items():
            sums[piece] += number * count
    assert dict(zip(scores, counts)) == pytest.approx(sums, rel=1e-9, abs=1e-12)
    total = sum(n * unigram_log_probability(w, scores) for w, n in words.items())
    assert likelihood == pytest.approx(total, rel=1e-12)


@law
@given(counted, tables, st.data())
def test_lattices_keep_what_remains_of_the_pieces(words, scores, data):
    """Pieces dropped later are as pieces that never were."""
    longer = [piece for piece in scores if len(piece) > 1]
    dropped = data.draw(st.sets(st.sampled_from(longer))) if longer else set()
    lattices = Lattices(list(words), list(scores))
    lattices.keep(np.array([piece not in dropped for piece in scores]))
    fewer = {p: s for p, s in scores.items() if p not in dropped}
    fresh = Lattices(list(words), list(fewer))
    log_p, times = np.array(list(fewer.values())), np.ones(len(words))
    found, expected = (la.expected_counts(log_p, times) for la in (lattices, fresh))
    np.testing.assert_array_equal(found[0], expected[0])
    assert found[1] == expected[1]


@law
@given(counted, tables)
def test_lattices_best_is_the_best_of_all(words, scores):
    """Without the whole word, too."""
    log_p = np.array(list(scores.values()))
    for whole in (True, False):
        lattices = Lattices(list(words), list(scores), whole)
        best = lattices.best(log_p[lattices.pieces])
        for word, found in zip(words, best):
            ways = enumerated(word, scores)
            ways = [log for log, way in ways if whole or len(way) > 1]
            assert found == pytest.approx(max(ways, default=-math.inf), rel=1e-12)


def normal(scores):
    total = math.log(sum(map(math.exp, scores.values())))
    return {piece: score - total for piece, score in scores.items()}


@law
@given(counted, tables)
def test_unigram_em_never_lowers_the_likelihood(words, scores):
    """Each step of it, from any scores; and the shares sum to 1."""
    before = -math.inf
    for _ in range(6):
        scores, likelihood = unigram_em_step(words, normal(scores))
        assert likelihood >= before - 1e-9 * abs(likelihood)
        assert sum(map(math.exp, scores.values())) == pytest.approx(1)
        before = likelihood


@law
@given(counted, st.integers(1, 30), st.integers(1, 6))
def test_frequent_substrings_are_those_counted_one_by_one(words, most, longest):
    """Their counts are right, and what is left out is worth no more."""
    tally = Counter()
    for word, times in words.items():
        for start, end in itertools.combinations(range(len(word) + 1), 2):
            if 2 <= end - start <= longest:
                tally[word[start:end]] += times
    tally = {piece: count for piece, count in tally.items() if count > 1}
    found = frequent_substrings(words, most, longest)
    assert len(found) == min(most, len(tally))
    assert found.items() <= tally.items()
    worth = {piece: count * len(piece) for piece, count in tally.items()}
    rest = [worth[piece] for piece in tally.keys() - found.keys()]
    assert all(worth[piece] >= max(rest, default=0) for piece in found)


@law
@given(counted, tables)
def test_losses_are_infinite_for_characters_alone(words, scores):
    """A character has no other spelling; everything else has its characters."""
    lattices = Lattices(list(words), list(scores))
    times = np.array(list(words.values()), float)
    counts, _ = lattices.expected_counts(np.array(list(scores.values())), times)
    others = Lattices(list(scores), list(scores), whole=False)
    lost = losses(counts, others, np.arange(len(scores)))
    single = [len(piece) == 1 for piece in scores]
    np.testing.assert_array_equal(np.isinf(lost), single)


@law
@settings(max_examples=40)
@given(counted, st.integers(0, 20))
def test_unigram_train_gives_probabilities_of_pieces_of_the_words(words, more):
    """Every character, at most so many, likeliest first, and they sum to 1."""
    alphabet = {letter for word in words for letter in word}
    scores = unigram_train(words, len(alphabet) + more)
    assert alphabet <= scores.keys() and len(scores) <= len(alphabet) + more
    assert all(any(piece in word for word in words) for piece in scores)
    assert sum(map(math.exp, scores.values())) == pytest.approx(1)
    assert list(scores.values()) == sorted(scores.values(), reverse=True)


@law
@settings(max_examples=40)
@given(counted)
def test_unigram_train_does_not_depend_on_the_order_of_words(words):
    """The same counts are the same texts."""
    turned = dict(reversed(words.items()))
    assert unigram_train(turned, 12) == unigram_train(words, 12)


@law
def test_unigram_train_stays_smaller_where_there_is_no_more():
    """abab has the substring ab twice, and the words no others."""
    assert unigram_train({"abab": 1}, 1000).keys() == {"a", "b", "ab"}
    assert unigram_train({"a": 9}, 1000) == {"a": 0.0}


SENTENCES = [
    f"the {size} {colour} {shape} is {place} the {other} {shape} of the picture."
    for size in ("large", "small", "tiny")
    for colour in ("red", "yellow", "orange", "purple")
    for shape in ("circle", "square", "triangle", "star", "ring")
    for place in ("beside", "above", "below", "to the left of", "in the middle of")
    for other in ("other", "larger", "smaller", "reddish", "yellowish")
]


@oracle
def test_unigram_train_is_no_worse_than_the_librarys():
    """On the same words and as many pieces: likelihood and number of tokens."""
    backend = tokenizers.Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=60, show_progress=False)
    backend.train_from_iterator(SENTENCES, trainer)
    theirs = dict(json.loads(backend.to_str())["model"]["vocab"])
    words = Counter(
        "▁" + word for sentence in SENTENCES for word in sentence.split(" ")
    )
    ours = unigram_train(words, len(theirs))

    def measured(scores):
        likelihood = sum(
            n * unigram_log_probability(w, scores) for w, n in words.items()
        )
        tokens = sum(n * len(unigram_viterbi(w, scores)) for w, n in words.items())
        return likelihood, tokens

    (likely, tokens), (their_likely, their_tokens) = measured(ours), measured(theirs)
    assert likely > 1.02 * their_likely  # both are below 0
    assert tokens < 1.02 * their_tokens


@contract
def test_unigram_train_refuses_what_cannot_be_learnt():
    """A vocabulary too small for the characters, and counts that are none."""
    assert unigram_train({}, 3) == unigram_train({"": 2}, 3) == {}
    with pytest.raises(ValueError, match="is 2, but the words have 3 characters"):
        unigram_train({"abc": 1}, 2)
    for size in (0, -1, 2.5, "7", None):
        with pytest.raises(ValueError, match="vocabulary_size must be a whole number"):
            unigram_train({"abc": 1}, size)
    for count in (0, -1, 0.5, "2"):
        with pytest.raises(ValueError, match="at least 1, but 'ab' has"):
            unigram_train({"ab": count}, 5)
    with pytest.raises(ValueError, match="longest must be a whole number of at least"):
        unigram_train({"ab": 2}, 5, longest=0)
    with pytest.raises(ValueError, match="the character 'b' of the words is no piece"):
        unigram_em_step({"ab": 1}, {"a": -1.0, "c": -1.0})


@contract
@pytest.mark.parametrize("word", ["a" * 200_000, "ab" * 100_000, "\0\U0010ffff\n " * 9])
def test_unigram_train_takes_a_word_without_end(word):
    """Long words are learnt from in parts; NUL and the last character are letters."""
    scores = unigram_train({word: 1}, 30)
    assert "".join(unigram_viterbi(word[:50], scores)) == word[:50]


@contract
def test_unigram_train_takes_noise():
    """Where nothing repeats often, there are short pieces and no long wait."""
    rng = np.random.default_rng(0)
    noise = "".join(map(chr, rng.integers(97, 123, 100_000)))
    assert len(unigram_train({noise: 1}, 200)) == 200
