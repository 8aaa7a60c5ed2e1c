"""Byte-pair encoding: which pairs are learnt, and how they cut a word."""

import json
from itertools import pairwise

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, trainers

from refvlm import text

from ...spec import contract, example, house, law, oracle

letters = st.sampled_from(["ab", "abc", "abcdef", "ĠÃ©x"])
words = letters.flatmap(
    lambda alphabet: st.dictionaries(
        st.text(alphabet, min_size=1, max_size=9), st.integers(1, 5), max_size=10
    )
)


def ranks_of(merges):
    return {pair: rank for rank, pair in enumerate(merges)}


@example
def test_bpe_train_on_the_words_of_the_paper():
    """low x5, lower x2, newest x6, widest x3: es and est come first, 9 times each."""
    counts = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
    merges = text.bpe_train(counts, 10)
    assert merges[:4] == [("e", "s"), ("es", "t"), ("l", "o"), ("lo", "w")]
    assert text.bpe_encode("lowest", ranks_of(merges)) == ["low", "est"]


@example
def test_bpe_train_breaks_ties_by_age():
    """Equally common: a is older than c by the alphabet, and c than the new ab."""
    assert text.bpe_train({"cd": 2, "ab": 2}, 1) == [("a", "b")]
    assert text.bpe_train({"abx": 2, "cd": 2}, 2) == [("a", "b"), ("c", "d")]


@example
def test_bpe_train_merges_a_run_from_the_left():
    """aaaa holds the pair aa three times, and two merges of it."""
    assert text.bpe_train({"aaaa": 1}, 5) == [("a", "a"), ("aa", "aa")]
    assert text.bpe_encode("aaa", {("a", "a"): 0}) == ["aa", "a"]


@example
def test_bpe_encode_goes_by_rank_and_not_by_length():
    """What was learnt first is merged first, though `abc` would be one token."""
    ranks = ranks_of([("b", "c"), ("a", "b"), ("ab", "c")])
    assert text.bpe_encode("abc", ranks) == ["a", "bc"]


@law
@given(words, st.integers(0, 12))
def test_bpe_train_is_its_definition(counts, merges):
    """Counting only what changed gives the merges of counting everything."""
    defined = text.bpe_train_by_definition(counts, merges)
    assert text.bpe_train(counts, merges) == defined


@law
@given(words)
def test_bpe_train_makes_no_token_twice(counts):
    """A token has one pair that makes it, so each merge adds one token."""
    made = ["".join(pair) for pair in text.bpe_train(counts, 1000)]
    assert len(set(made)) == len(made)


@law
@given(words)
def test_bpe_train_learns_parts_before_the_whole(counts):
    """A pair is of letters, or of tokens whose merges have a smaller rank."""
    alphabet = {letter for word in counts for letter in word}
    for pair in text.bpe_train(counts, 1000):
        assert alphabet.issuperset(pair)
        alphabet.add("".join(pair))


@law
@given(words)
def test_bpe_train_ends_with_whole_words(counts):
    """With merges enough, every word that was trained on is one token."""
    merges = text.bpe_train(counts, 1000)
    assert len(merges) < 1000
    for word in counts:
        assert text.bpe_encode(word, ranks_of(merges)) == [word]


@law
@given(words, st.integers(0, 12))
def test_bpe_train_asked_for_more_begins_alike(counts, merges):
    """The first merges do not depend on how many are asked for."""
    more = text.bpe_train(counts, merges + 3)
    assert text.bpe_train(counts, merges) == more[:merges]


@st.composite
def merge_tables(draw):
    """Tables in any order, as nobody trained them: a token may have several pairs."""
    known, merges = ["a", "b", "c"], []
    for _ in range(draw(st.integers(0, 12) | st.just(12))):
        pair = draw(st.sampled_from(known)), draw(st.sampled_from(known))
        merges.append(pair)
        known.append("".join(pair))
    return draw(st.permutations(list(dict.fromkeys(merges))))


@law
@given(
    merge_tables(), st.text("abc", max_size=40) | st.integers(0, 60).map("a".__mul__)
)
def test_bpe_encode_is_its_definition(merges, word):
    """With a queue or by looking at every pair: any table, runs of one letter too."""
    ranks = ranks_of(merges)
    assert text.bpe_encode(word, ranks) == text.bpe_encode_by_definition(word, ranks)


class Asked(dict):
    """A table that counts how often it is asked."""

    times = 0

    def get(self, key, default=None):
        self.times += 1
        return super().get(key, default)

    def __contains__(self, key):
        self.times += 1
        return super().__contains__(key)


@house
@pytest.mark.parametrize("unit", ["a", "ab", "aab", "abcabd"])
def test_bpe_encode_asks_twice_as_often_for_twice_the_word(unit):
    """A merge asks about two pairs, however long the word is; by the definition it
    asks about all of them, and twice the word takes four times as many questions."""
    merges = text.bpe_train({unit * 64: 1}, 12)

    def asked(encode, length):
        ranks = Asked(ranks_of(merges))
        encode((unit * length)[:length], ranks)
        return ranks.times

    assert asked(text.bpe_encode, 2000) < 2.1 * asked(text.bpe_encode, 1000)
    assert asked(text.bpe_encode, 2000) < 8 * 2000
    naive = text.bpe_encode_by_definition
    assert asked(naive, 400) > 3.5 * asked(naive, 200)


@law
@given(words, st.text("abcd", max_size=12))
def test_bpe_encode_leaves_no_pair_that_was_learnt(counts, word):
    """The tokens spell the word, and no two neighbours could still be merged."""
    ranks = ranks_of(text.bpe_train(counts, 20))
    tokens = text.bpe_encode(word, ranks)
    assert "".join(tokens) == word
    assert not [pair for pair in pairwise(tokens) if pair in ranks]


@law
@given(words, st.text("abcd", max_size=12))
def test_bpe_decode_undoes_bpe_encode(counts, word):
    """Tokens, joined, are the word, also with letters that were never seen."""
    ranks = ranks_of(text.bpe_train(counts, 20))
    assert text.bpe_decode(text.bpe_encode(word, ranks)) == word


def trained_by_the_library(counts, size):
    backend = tokenizers.Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False)
    lines = (" ".join([word] * count) for word, count in counts.items())
    backend.train_from_iterator(lines, trainer)
    return backend


@oracle
@given(words.filter(len), st.integers(0, 40))
def test_bpe_train_finds_the_merges_of_the_library(counts, merges):
    """The same merges as `tokenizers` in the same order, ties included."""
    alphabet = {letter for word in counts for letter in word}
    backend = trained_by_the_library(counts, len(alphabet) + merges)
    model = json.loads(backend.to_str())["model"]
    ours = text.bpe_train(counts, merges)
    assert ours == [tuple(pair) for pair in model["merges"]]
    tokens = [*sorted(alphabet), *map("".join, ours)]
    assert model["vocab"] == {token: number for number, token in enumerate(tokens)}


@oracle
@given(merge_tables(), st.text("abc", max_size=14))
def test_bpe_encode_cuts_as_the_library_does(merges, word):
    """One merge at a time, lowest rank, then leftmost: as `tokenizers`, any table."""
    tokens = dict.fromkeys([*"abc", *map("".join, merges)])
    vocabulary = {token: number for number, token in enumerate(tokens)}
    model = models.BPE(vocab=vocabulary, merges=merges)
    theirs = [token.value for token in model.tokenize(word)]
    assert text.bpe_encode(word, ranks_of(merges)) == theirs


@contract
@pytest.mark.parametrize("train", [text.bpe_train, text.bpe_train_by_definition])
def test_bpe_train_refuses_what_cannot_be_counted(train):
    """No words, no merges; counts of nothing and numbers below zero are mistakes."""
    assert train({}, 3) == train({"a": 1}, 3) == train({"": 2}, 3) == []
    with pytest.raises(ValueError, match="at least 1, but 'ab' has 0"):
        train({"ab": 0}, 3)
    with pytest.raises(ValueError, match="merges must be a whole number .*, not -1"):
        train({"ab": 1}, -1)
    with pytest.raises(ValueError, match="at least 1, but 'ab' has 0.5"):
        train({"ab": 0.5}, 3)


@oracle
@given(merge_tables(), st.text("abc", max_size=14), st.data())
def test_bpe_encode_takes_the_last_of_two_ranks(merges, word, data):
    """A pair that a file lists twice has the rank of the later line, as the library
    has it; a pair may also be listed before those that its parts are made by."""
    twice = [*merges, *data.draw(st.permutations(merges))]
    tokens = dict.fromkeys([*"abc", *map("".join, merges)])
    vocabulary = {token: number for number, token in enumerate(tokens)}
    model = models.BPE(vocab=vocabulary, merges=twice)
    theirs = [token.value for token in model.tokenize(word)]
    assert text.bpe_encode(word, ranks_of(twice)) == theirs


@contract
def test_bpe_encode_leaves_what_it_cannot_merge():
    """Nothing is in no tokens, and a word with no known pair in its letters."""
    assert text.bpe_encode("", {("a", "b"): 0}) == []
    assert text.bpe_encode("xyz", {}) == ["x", "y", "z"]
