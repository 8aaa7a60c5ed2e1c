"""What is learnt from texts on a raw stream, by either way to cut words."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from refvlm.text import (
    LLAMA,
    SENTENCE_PIECE,
    RawStream,
    TokenizerError,
    bpe_train,
    learn_raw_bpe,
    learn_unigram,
    train_raw_bpe,
    train_unigram,
    unigram_train,
)
from refvlm.text.raw_stream.learning import count_words
from refvlm.text.raw_stream.spelled_bytes import BYTE_TOKENS

from ...spec import contract, example, law
from ..hard_texts import unicode_texts

LEARN = pytest.mark.parametrize("learn", [learn_raw_bpe, learn_unigram])
MARKERS = ["<unk>", "<s>", "</s>"]
THREE = ["to be or not to be", "to bed<s>to  bed"]


@example
def test_count_words_of_two_texts():
    """Each begins like a word; runs of spaces count, and markers part texts."""
    once = count_words("", THREE, MARKERS, SENTENCE_PIECE)
    assert once == {"▁to": 4, "▁be": 2, "▁or": 1, "▁not": 1, "▁bed": 2}
    assert count_words("", THREE, MARKERS, LLAMA)["▁"] == 1
    never = count_words("", THREE, MARKERS, RawStream(prefix="never"))
    assert (never["to"], never["▁to"]) == (3, 1)


@example
def test_raw_kinds_number_markers_bytes_pieces():
    """The order that SentencePiece has too."""
    bpe, unigram = learn_raw_bpe(THREE, 280), learn_unigram(THREE, 20)
    assert list(bpe.vocabulary)[:3] == list(unigram.vocabulary)[:3] == MARKERS
    assert list(bpe.vocabulary)[3:259] == BYTE_TOKENS
    assert list(bpe.vocabulary)[259:267] == sorted("▁tobernd")
    assert "▁to" in bpe.vocabulary and "▁to" in unigram.vocabulary


@law
@settings(max_examples=30)
@given(st.lists(unicode_texts, max_size=4), st.integers(0, 30))
def test_raw_kinds_learn_what_words_teach(texts, more):
    """The merges are those of the words, the scores are those of the words."""
    counts = count_words("", texts, MARKERS, SENTENCE_PIECE)
    letters = len(set().union(*counts))
    size = 3 + letters + more
    bpe = learn_raw_bpe(texts, size, MARKERS, SENTENCE_PIECE, byte_fallback=False)
    assert bpe.merges == bpe_train(counts, more)
    unigram = learn_unigram(texts, size)
    learnt = unigram_train(counts, letters + more) if letters else {}
    assert unigram.scores == dict.fromkeys(MARKERS, 0.0) | learnt
    assert max(len(bpe), len(unigram)) <= size


@law
@settings(max_examples=30)
@given(st.lists(unicode_texts, min_size=1, max_size=4))
def test_raw_kinds_know_the_texts_that_they_learnt_from(texts):
    """None of their characters is unknown."""
    for learn in (learn_raw_bpe, learn_unigram):
        learnt = learn(texts, 2000, MARKERS, SENTENCE_PIECE, byte_fallback=False)
        for text in texts:
            assert "<unk>" not in learnt.tokens(text)


@law
@LEARN
def test_raw_kinds_stay_smaller_where_there_is_no_more(learn):
    """A vocabulary of a thousand cannot be had from ten words."""
    learnt = learn(THREE, 1000, byte_fallback=False)
    assert len(learnt) < 40
    assert learnt.decode(learnt.encode("to be or not")) == "to be or not"


@contract
@LEARN
def test_raw_kinds_learn_nothing_from_nothing(learn):
    """No texts, empty texts: the markers alone, by which all is unknown."""
    for texts in ([], [""], ["<s>", "</s>"]):
        learnt = learn(texts, 3, MARKERS, byte_fallback=False)
        assert list(learnt.vocabulary) == MARKERS
        assert learnt.encode("a") == [0] and learnt.encode("") == []
    with_bytes = learn([], 260, MARKERS, byte_fallback=True)
    assert with_bytes.decode(with_bytes.encode("né 🙂")) == "né 🙂"


@contract
@LEARN
def test_raw_kinds_refuse_texts_that_are_none(learn):
    """One text for a list, bytes, and halves of surrogate pairs."""
    for texts in ("a text", b"bytes", 7, None, {"a": 1}):
        with pytest.raises(ValueError, match="texts is a list, even of one"):
            learn(texts, 300)
    for text in (b"bytes", 7, None, "\ud800"):
        with pytest.raises(TokenizerError, match="text is"):
            learn(["a", text], 300)


@contract
@LEARN
def test_raw_kinds_refuse_a_size_that_is_none(learn):
    """Below the alphabet, or no whole number."""
    for size in (-1, 2.5, "300", None, True):
        with pytest.raises(ValueError, match="vocabulary_size must be a whole number"):
            learn(["abc"], size)
    for size in (0, 6):
        with pytest.raises(ValueError, match="3 markers and 4 characters .* 7 tokens"):
            learn(["abc"], size, byte_fallback=False)
    with pytest.raises(ValueError, match="3 markers, 256 bytes and 4 characters"):
        learn(["abc"], 262, byte_fallback=True)


@contract
@LEARN
def test_raw_kinds_refuse_markers_that_are_none(learn):
    """No name, a name twice, a character, a byte, none for the unknown."""
    for markers in ("<unk>", [7], [""], None, 3):
        with pytest.raises(ValueError, match="markers is .* must be a list of names"):
            learn(["abc"], 300, markers)
    with pytest.raises(ValueError, match="two markers are the same"):
        learn(["abc"], 600, ["<a>", "<a>"])
    for markers in (["<unk>", "▁"], ["<unk>", "<0x41>"]):
        with pytest.raises(ValueError, match="spelled like a character of the texts"):
            learn(["abc"], 600, markers, byte_fallback=True)
    with pytest.raises(ValueError, match="has to begin with one for the unknown"):
        learn(["abc"], 600, [])


NOISE = "".join(map(chr, np.random.default_rng(0).integers(97, 123, 60_000)))


@contract
@LEARN
@pytest.mark.parametrize("text", ["a" * 1_000_000, "ab" * 300_000, NOISE])
def test_raw_kinds_learn_from_one_word_in_seconds(learn, text):
    """A word of a megabyte is learnt from in parts."""
    begun = time.monotonic()
    learnt = learn([text], 60, byte_fallback=False)
    assert time.monotonic() - begun < 60
    assert len(learnt) <= 60 and learnt.decode(learnt.encode(text[:99])) == text[:99]


@law
def test_trained_raw_kinds_are_those_that_were_learnt():
    """Through their files, and the engine that opens them."""
    for train, learn in (
        (train_unigram, learn_unigram),
        (train_raw_bpe, learn_raw_bpe),
    ):
        tokenizer = train(THREE, 280, byte_fallback=True)
        learnt = learn(THREE, 280, byte_fallback=True)
        assert len(tokenizer) == len(learnt)
        assert tokenizer.encode("to be<s>né") == learnt.encode("to be<s>né")
