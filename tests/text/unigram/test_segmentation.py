"""The unigram model of a word: its segmentations, best, n best, random and all."""

import itertools
import math
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models

from refvlm.text.unigram.segmentation import (
    UNKNOWN_PENALTY,
    unigram_expected_counts,
    unigram_log_probability,
    unigram_n_best,
    unigram_sample,
    unigram_viterbi,
)

from ...spec import contract, example, law, oracle

UNLIKELY = {"un": -3, "like": -4, "likely": -6, "unlike": -8, "ly": -3}
# Scores that float64 adds without rounding, so that what is equal is a tie.
eighths = st.integers(-64, 0).map(lambda n: n / 8)
pieces = st.text("abc", min_size=1, max_size=4)
tables = st.dictionaries(pieces, eighths, min_size=1, max_size=12)
words = st.text("abcd", max_size=8)


def enumerated(word, scores):
    """(log P, pieces) of every segmentation into pieces, by trying all the cuts."""
    unknown = min(scores.values()) - UNKNOWN_PENALTY
    known = scores | {c: unknown for c in word if c not in scores}
    ways = []
    for cuts in itertools.product([False, True], repeat=max(len(word) - 1, 0)):
        places = [0, *(i for i, cut in enumerate(cuts, 1) if cut), len(word)]
        found = [word[a:b] for a, b in itertools.pairwise(places)] if word else []
        if all(piece in known for piece in found):
            ways.append((sum(known[piece] for piece in found), found))
    return ways


@example
def test_unigram_viterbi_weighs_all_pieces_of_a_word():
    """-3 - 6 is more than -3 - 4 - 3 and -8 - 3; unlike was the longest piece."""
    assert unigram_viterbi("unlikely", UNLIKELY) == ["un", "likely"]


@example
def test_unigram_viterbi_of_what_is_unknown():
    """x is no piece: it costs -4 - 10, and is a piece of its own."""
    scores = {"a": -1.0, "aa": -4.0}
    assert unigram_viterbi("xaax", scores) == ["x", "a", "a", "x"]
    assert unigram_n_best("xa", scores, 9) == [(-15.0, ["x", "a"])]


@example
def test_unigram_viterbi_breaks_ties_by_the_longest_last_piece():
    """a ab and aa b are equally good, and so is what follows each."""
    scores = {"a": -1, "b": -1, "ab": -2, "aa": -2, "aab": -4}
    assert unigram_viterbi("aab", scores) == ["a", "ab"]
    assert unigram_viterbi("ab", scores) == ["ab"]


@example
def test_unigram_expected_counts_by_hand():
    """ab is a b with weight 0.15 and ab with 0.2: 3 in 7 and 4 in 7."""
    scores = {"a": math.log(0.5), "b": math.log(0.3), "ab": math.log(0.2)}
    counts = unigram_expected_counts("ab", scores)
    assert counts == pytest.approx({"a": 3 / 7, "b": 3 / 7, "ab": 4 / 7}, rel=1e-12)


@law
@given(words, tables)
def test_unigram_viterbi_is_the_best_of_all(word, scores):
    """No segmentation is likelier than the one that is found."""
    best = max(log_p for log_p, _ in enumerated(word, scores))
    found = unigram_viterbi(word, scores)
    assert (best, found) in enumerated(word, scores)


@law
@given(words, tables, st.integers(1, 300))
def test_unigram_n_best_are_the_best_of_all_in_order(word, scores, count):
    """The likeliest so many, each once, the one of Viterbi first."""
    every = enumerated(word, scores)
    found = unigram_n_best(word, scores, count)
    expected = sorted((log_p for log_p, _ in every), reverse=True)[:count]
    assert [log_p for log_p, _ in found] == expected
    assert all(way in every for way in found)
    assert len({tuple(way) for _, way in found}) == len(found)
    assert found[0][1] == unigram_viterbi(word, scores)


@law
@given(words, tables)
def test_unigram_log_probability_sums_all_segmentations(word, scores):
    """The forward sums reach what enumeration adds up."""
    total = math.fsum(math.exp(log_p) for log_p, _ in enumerated(word, scores))
    found = unigram_log_probability(word, scores)
    assert found == pytest.approx(math.log(total), rel=1e-12, abs=1e-12)


@law
@given(words, tables)
def test_unigram_expected_counts_are_means_over_all_segmentations(word, scores):
    """Forward and backward sums together give each piece its share."""
    every = enumerated(word, scores)
    total = math.fsum(math.exp(log_p) for log_p, _ in every)
    means = defaultdict(float)
    for log_p, found in every:
        for piece in found:
            means[piece] += math.exp(log_p) / total
    assert unigram_expected_counts(word, scores) == pytest.approx(means, rel=1e-9)


@law
@given(words, tables)
def test_unigram_expected_counts_spell_the_word(word, scores):
    """Whatever the cut, its pieces together are as long as the word."""
    counts = unigram_expected_counts(word, scores)
    letters = math.fsum(len(piece) * count for piece, count in counts.items())
    assert letters == pytest.approx(len(word), rel=1e-12)


def surprise(seen, chances):
    """Pearson's chi-square in standard deviations from its mean, and its freedoms."""
    total = sum(seen.values())
    assert seen.keys() <= chances.keys()
    chi = sum((seen[way] - total * p) ** 2 / (total * p) for way, p in chances.items())
    freedoms = len(chances) - 1
    # Wilson and Hilferty: the cube root of chi-square is nearly normal.
    spread = 2 / (9 * freedoms)
    return ((chi / freedoms) ** (1 / 3) - 1 + spread) / math.sqrt(spread)


def chances(word, scores, alpha, n_best=None):
    ways = sorted(enumerated(word, scores), key=lambda way: -way[0])[:n_best]
    total = math.fsum(math.exp(alpha * log_p) for log_p, _ in ways)
    return {tuple(way): math.exp(alpha * log_p) / total for log_p, way in ways}


SAMPLED = {"a": -1.5, "b": -1.0, "ab": -2.0, "ba": -2.25, "aba": -3.25}


@law
@pytest.mark.parametrize(("alpha", "n_best"), [(0, None), (0.4, None), (1.5, 3)])
def test_unigram_sample_draws_in_proportion(alpha, n_best):
    """Chi-square of 4000 draws stays below the level of 1 in 1000."""
    rng = np.random.default_rng(5)
    seen = Counter(
        tuple(unigram_sample("ababa", SAMPLED, alpha, rng, n_best)) for _ in range(4000)
    )
    assert surprise(seen, chances("ababa", SAMPLED, alpha, n_best)) < 3.09


@law
def test_chi_square_tells_another_alpha():
    """The test above can fail: draws with 0.6 are not those of 0.4."""
    rng = np.random.default_rng(5)
    seen = Counter(
        tuple(unigram_sample("ababa", SAMPLED, 0.6, rng)) for _ in range(4000)
    )
    assert surprise(seen, chances("ababa", SAMPLED, 0.4)) > 3.09


@law
@given(words, tables, st.integers(0, 9))
def test_unigram_sample_with_a_large_alpha_is_the_best(word, scores, seed):
    """Eighths apart, and 10000 times that in the exponent: only the best are left."""
    drawn = unigram_sample(word, scores, 1e4, np.random.default_rng(seed))
    best = unigram_n_best(word, scores, 1)[0][0]
    assert (best, drawn) in enumerated(word, scores)


@law
def test_unigram_sample_is_the_same_for_the_same_seed():
    """The generator is all that chance there is."""
    drawn = [
        [unigram_sample("ababab", SAMPLED, 0.3, rng) for _ in range(20)]
        for rng in (np.random.default_rng(1), np.random.default_rng(1))
    ]
    assert drawn[0] == drawn[1]


@law
def test_unigram_of_a_long_word_stays_finite():
    """Its probability is far below what a float holds; its logarithm is not."""
    word, scores = "ab" * 5000, {"a": -5.0, "b": -5.0, "ab": -9.0}
    assert unigram_viterbi(word, scores) == ["ab"] * 5000
    one = math.log(math.exp(-9) + math.exp(-10))
    assert unigram_log_probability(word, scores) == pytest.approx(5000 * one)
    counts = unigram_expected_counts(word, scores)
    assert counts["ab"] == pytest.approx(5000 / (1 + math.exp(-1)))


@oracle
@given(words, tables.map(lambda t: {"<unk>": 0.0} | t))
def test_unigram_viterbi_cuts_as_the_library_does(word, scores):
    """The library's cut, ties included; neighbours that are unknown it joins."""
    model = models.Unigram(list(scores.items()), 0, False)
    theirs = [token.value for token in model.tokenize(word)]
    ours = [[""]]
    for piece in unigram_viterbi(word, scores):
        joined = piece not in scores and ours[-1][-1] not in scores
        ours[-1 if joined else len(ours) :] = [
            [*ours[-1], piece] if joined else [piece]
        ]
    assert ["".join(several) for several in ours if several != [""]] == theirs


@oracle
@pytest.mark.skipif(
    not hasattr(models.Unigram, "alpha"),
    reason="this version of tokenizers does not sample in Python",
)
@pytest.mark.parametrize(("alpha", "n_best"), [(0.4, None), (1.5, 3)])
def test_unigram_sample_draws_from_what_the_library_does(alpha, n_best):
    """Draws of the library, which takes no seed, agree with our chances: 1 in 10^9."""
    vocabulary = [("<unk>", 0.0), *SAMPLED.items()]
    model = models.Unigram(vocabulary, 0, False, alpha=alpha, nbest_size=n_best)
    seen = Counter(
        tuple(token.value for token in model.tokenize("ababa")) for _ in range(4000)
    )
    assert surprise(seen, chances("ababa", SAMPLED, alpha, n_best)) < 6


@contract
@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, "-1", None])
def test_unigram_refuses_what_is_no_score(score):
    """One such score would spoil every comparison, or lose silently."""
    with pytest.raises(ValueError, match="a score is the log .* 'b' has"):
        unigram_viterbi("ab", {"a": -1.0, "b": score})


@contract
def test_unigram_of_no_word_and_no_pieces():
    """Nothing is cut into nothing; without pieces every character is unknown."""
    rng = np.random.default_rng(0)
    assert unigram_viterbi("", UNLIKELY) == unigram_sample("", UNLIKELY, 1, rng) == []
    assert unigram_n_best("", UNLIKELY, 5) == [(0.0, [])]
    assert unigram_expected_counts("", UNLIKELY) == {}
    assert unigram_viterbi("ab", {}) == ["a", "b"]


@contract
def test_unigram_sample_refuses_what_cannot_be_drawn():
    """An alpha that is no number from 0, and a seed where a generator is meant."""
    rng = np.random.default_rng(0)
    for alpha in (-1, math.nan, math.inf, "1", None):
        with pytest.raises(ValueError, match="alpha is .*, not a number from 0"):
            unigram_sample("ab", SAMPLED, alpha, rng)
    with pytest.raises(ValueError, match="alpha is so large that all chances are 0"):
        unigram_sample("ab", SAMPLED, 1e308, rng)
    for seed in (0, None, np.random.RandomState(0)):
        with pytest.raises(ValueError, match="give np.random.default_rng"):
            unigram_sample("ab", SAMPLED, 1, seed)
    with pytest.raises(ValueError, match="count must be a whole number of at least 1"):
        unigram_n_best("ab", SAMPLED, 0)
