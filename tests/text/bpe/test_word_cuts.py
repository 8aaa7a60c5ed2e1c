"""The cut into words: Qwen2's regular expression, told by categories of Unicode."""

import sys
import unicodedata

import pytest
from hypothesis import given
from tokenizers import Regex, pre_tokenizers

from refvlm.text.bpe.description import QWEN2_WORDS
from refvlm.text.bpe.word_cuts import split_words

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


@oracle
def test_split_words_knows_every_character_as_the_library_does():
    """All of Unicode: between letters, digits and signs, each is cut off or kept."""
    assigned = [
        chr(code)
        for code in range(sys.maxunicode + 1)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs")
    ]
    text = "".join(f"x{character}x'{character}y \n" for character in assigned)
    splitter = pre_tokenizers.Split(Regex(QWEN2_WORDS), behavior="isolated")
    assert split_words(text) == [word for word, _ in splitter.pre_tokenize_str(text)]
