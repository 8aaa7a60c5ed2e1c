"""The cut into words: Qwen2's regular expression, told by categories of Unicode."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers

from refvlm.text.bpe.byte_level import byte_alphabet
from refvlm.text.bpe.clip_bpe import CLIP_WORDS, cut
from refvlm.text.bpe.description import QWEN2_WORDS
from refvlm.text.bpe.word_cuts import (
    split_clip_words,
    split_gpt2_words,
    split_words,
)

from ...spec import example, law, oracle
from ..hard_texts import unicode_texts


@example
@pytest.mark.parametrize(
    "words",
    [
        ["A", " red", " cube", " isn", "'t", " ", "1", "2", " cm", "."],
        ["they", "'LL", " say", ":", " ", " (", "maybe", ").\n"],
        ["  ", " x", "\t \n\n", " ", " y", "  "],
        [" $", "x", "$\n\n", "e", "\u0301數學", "。"],
    ],
)
def test_split_words_keeps_the_space_with_the_word_after_it(words):
    """Each word takes one space along; digits stand alone, a mark is a sign."""
    assert split_words("".join(words)) == words


@law
@given(unicode_texts)
def test_split_words_only_cuts(text):
    """Joined, the words are the text, and none of them is empty."""
    words = split_words(text)
    assert "".join(words) == text
    assert all(words)


@oracle
@given(unicode_texts)
def test_split_words_is_the_regular_expression(text):
    """Where the library cuts by letters and numbers, so do kinds of characters."""
    splitter = pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated")
    assert split_words(text) == [word for word, _ in splitter.pre_tokenize_str(text)]


LETTER_OF = {letter: byte for byte, letter in byte_alphabet().items()}
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False)
NAMES = ["<|startoftext|>", "<|endoftext|>"]


def spelled(pieces):
    """Words of which each byte stands as a letter, in their own."""
    return [bytes(LETTER_OF[c] for c in word).decode() for word, _ in pieces]


@oracle
@given(unicode_texts)
def test_split_gpt2_words_is_the_librarys_own_cut(text):
    """Contractions in small letters alone, and a space with a number, too."""
    assert split_gpt2_words(text) == spelled(BYTES.pre_tokenize_str(text))


@oracle
@given(st.lists(st.sampled_from([*NAMES, "<|", "!", "end", "'s"]) | unicode_texts))
def test_split_clip_words_is_the_regular_expression(parts):
    """With and without the names of markers in it; small letters or not."""
    text = "".join(parts)
    splitter = pre_tokenizers.Split(Regex(CLIP_WORDS), "removed", invert=True)
    pieces = [word for word, _ in splitter.pre_tokenize_str(text)]
    assert split_clip_words(text) == pieces
    named = Regex(cut(NAMES)["pretokenizers"][0]["pattern"]["Regex"])
    splitter = pre_tokenizers.Split(named, "removed", invert=True)
    both = pre_tokenizers.Sequence([splitter, BYTES])
    assert split_clip_words(text, NAMES) == spelled(both.pre_tokenize_str(text))


def all_between_letters():
    """All of Unicode: between letters, digits and signs, each is cut off or kept."""
    assigned = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs")
    ]
    return "".join(f"x{character}x'{character}y \n" for character in assigned)


@oracle
def test_split_words_knows_every_character_as_the_library_does():
    """Each is a letter, a number, white space or a sign, for all three cuts."""
    text = all_between_letters()
    splitter = pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated")
    assert split_words(text) == [word for word, _ in splitter.pre_tokenize_str(text)]
    assert split_gpt2_words(text) == spelled(BYTES.pre_tokenize_str(text))
    splitter = pre_tokenizers.Split(Regex(CLIP_WORDS), "removed", invert=True)
    pieces = [word for word, _ in splitter.pre_tokenize_str(text)]
    assert split_clip_words(text) == pieces
