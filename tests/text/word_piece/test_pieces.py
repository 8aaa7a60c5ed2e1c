"""WordPiece: which pieces are learnt, and how they cut a word."""

import json
from fractions import Fraction
from itertools import pairwise

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import models, pre_tokenizers, trainers

from refvlm import text
from refvlm.text.word_piece.pieces import join, spell

from ...spec import contract, example, house, law, oracle

HUGS = {"hug": 10, "pug": 5, "pun": 12, "bun": 4, "hugs": 5}
words = st.sampled_from(["ab", "abc", "abcdef", "é数x"]).flatmap(
    lambda alphabet: st.dictionaries(
        st.text(alphabet, min_size=1, max_size=9), st.integers(1, 5), max_size=10
    )
)


@st.composite
def vocabularies(draw):
    """Pieces of both kinds, in any mixture, and [UNK]."""
    pieces = draw(st.sets(st.text("ab数", min_size=1, max_size=4), max_size=12))
    return {"[UNK]", *(draw(st.sampled_from(["", "##"])) + piece for piece in pieces)}


@example
def test_wordpiece_train_scores_by_hand():
    """##g ##s: 5 of 20 g's and 5 s's, 5/(20*5) = 1/20. ##u ##g is there 20 times, of
    36 u's and 20 g's: 20/720 = 1/36, as all the rest."""
    assert text.wordpiece_train(HUGS, 1) == [("##g", "##s")]
    counted = {
        tuple(spell(word)): count for word, count in HUGS.items()
    }  # what byte-pair encoding merges first, from the same letters
    assert text.bpe_train(counted, 1) == [("##u", "##g")]


@example
def test_wordpiece_train_takes_the_commoner_of_equal_scores():
    """p ##u, h ##u, b ##u all score 1/36; they are there 17, 15 and 4 times."""
    merges = text.wordpiece_train(HUGS, 4)[1:]
    assert merges == [("p", "##u"), ("h", "##u"), ("b", "##u")]


@example
def test_wordpiece_train_by_score_takes_rare_pairs_first():
    """x y, once in the whole text, scores 1: more than any pair that is common. Asked
    for pairs that are there twice, it is left."""
    counts = {"the": 100, "xy": 1}
    assert text.wordpiece_train(counts, 1) == [("x", "##y")]
    assert text.wordpiece_train(counts, 1, at_least=2) == [("##h", "##e")]


@example
def test_wordpiece_encode_takes_the_longest_from_the_left():
    """`un` before `u`, though ##nseen would then fit."""
    pieces = {"u", "un", "##nseen", "##see", "##n", "##s"}
    assert text.wordpiece_encode("unseen", pieces) == ["un", "##see", "##n"]
    assert text.wordpiece_encode("unsaid", pieces) == ["[UNK]"]


@example
def test_wordpiece_encode_takes_a_word_of_a_hundred_characters_and_no_more():
    """A hundred letters are pieces of a word, a hundred and one are unknown."""
    pieces = {"a", "##a"}
    assert len(text.wordpiece_encode("a" * 100, pieces)) == 100
    assert text.wordpiece_encode("a" * 101, pieces) == ["[UNK]"]


@law
@given(words, st.integers(0, 12), st.integers(1, 4))
def test_wordpiece_train_is_its_definition(counts, merges, at_least):
    """Scoring only what changed gives the merges of scoring everything."""
    defined = text.wordpiece_train_by_definition(counts, merges, at_least)
    assert text.wordpiece_train(counts, merges, at_least) == defined


@law
@given(words.filter(lambda counts: any(len(word) > 1 for word in counts)))
def test_wordpiece_train_begins_with_the_highest_score(counts):
    """By fractions, in which nothing is rounded."""
    alone, together = {}, {}
    for word, count in counts.items():
        for symbol in spell(word):
            alone[symbol] = alone.get(symbol, 0) + count
        for pair in pairwise(spell(word)):
            together[pair] = together.get(pair, 0) + count
    score = {p: Fraction(n, alone[p[0]] * alone[p[1]]) for p, n in together.items()}
    (best,) = text.wordpiece_train(counts, 1)
    assert score[best] == max(score.values())


@law
@given(words)
def test_wordpiece_train_makes_no_token_twice(counts):
    """Each merge adds one token."""
    made = [join(pair) for pair in text.wordpiece_train(counts, 1000)]
    assert len(set(made)) == len(made) < 1000


@law
@given(words, st.text("abcd", max_size=12), st.integers(0, 20))
def test_wordpiece_encode_spells_the_word(counts, word, merges):
    """With the letters in both forms, the pieces are the word; and they are few."""
    letters = {*"abcd"}
    made = map(join, text.wordpiece_train(counts, merges))
    vocabulary = {*letters, *("##" + letter for letter in letters), *made}
    tokens = text.wordpiece_encode(word, vocabulary)
    assert "".join(token.removeprefix("##") for token in tokens) == word
    for first, second in pairwise(tokens):
        assert second.startswith("##")
        longer = first + second[2:3]
        assert longer not in vocabulary, "a longer piece would have fitted"


@house
def test_wordpiece_encode_looks_no_further_than_a_word_may_be_long():
    """A megabyte in one word is unknown before anything is looked up."""

    class Nothing:
        def __contains__(self, token):
            raise AssertionError("looked up")

    assert text.wordpiece_encode("a" * 1_000_000, Nothing()) == ["[UNK]"]
    assert text.wordpiece_encode("", Nothing()) == []


@oracle
@given(vocabularies(), st.text("ab数c", min_size=1, max_size=9), st.integers(0, 9))
def test_wordpiece_encode_cuts_as_the_library_does(vocabulary, word, longest):
    """Any pieces, any word, and any bound on its length."""
    numbered = {token: number for number, token in enumerate(sorted(vocabulary))}
    model = models.WordPiece(
        numbered, unk_token="[UNK]", max_input_chars_per_word=longest
    )
    theirs = [token.value for token in model.tokenize(word)]
    assert text.wordpiece_encode(word, numbered, longest_word=longest) == theirs


@oracle
def test_wordpiece_train_is_not_what_the_librarys_trainer_does():
    """The trainer of tokenizers goes by how often a pair is there, as byte-pair
    encoding does: ##u ##g, and then what holds it."""
    backend = tokenizers.Tokenizer(models.WordPiece({}, unk_token="[UNK]"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.WordPieceTrainer(
        vocab_size=14, special_tokens=["[UNK]"], show_progress=False
    )
    lines = (" ".join([word] * count) for word, count in HUGS.items())
    backend.train_from_iterator(lines, trainer)
    vocabulary = json.loads(backend.to_str())["model"]["vocab"]
    made = sorted(vocabulary, key=vocabulary.get)[-2:]
    by_count = text.bpe_train({tuple(spell(w)): n for w, n in HUGS.items()}, 1)
    assert made[0] == join(by_count[0]) == "##ug"
    assert made[0] not in map(join, text.wordpiece_train(HUGS, 3))


@contract
@pytest.mark.parametrize(
    "train", [text.wordpiece_train, text.wordpiece_train_by_definition]
)
def test_wordpiece_train_refuses_what_cannot_be_counted(train):
    """No words, no merges; counts of nothing and numbers below zero are mistakes."""
    assert train({}, 3) == train({"a": 1}, 3) == train({"": 2}, 3) == []
    with pytest.raises(ValueError, match="at least 1, but 'ab' has 0"):
        train({"ab": 0}, 3)
    with pytest.raises(ValueError, match="merges must be a whole number .*, not -1"):
        train({"ab": 1}, -1)
    with pytest.raises(ValueError, match="at_least must be a whole .* least 1, not 0"):
        train({"ab": 1}, 1, at_least=0)
