"""BERT's normal form and its cut into words."""

import itertools
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers, pre_tokenizers

from refvlm import text
from refvlm.text import TokenizerError

from ...spec import contract, example, law, oracle
from ..hard_texts import HARD, LONG, NO_TEXTS


def settled(character):
    """Whether it is what it was in Unicode 3.2: the library's tables are older than
    Python's, and know less of what came since."""
    category = unicodedata.category(character)
    old = unicodedata.ucd_3_2_0.category(character)
    return category == old and category not in ("Cn", "Cs")


SETTLED = [c for c in map(chr, range(sys.maxunicode + 1)) if settled(c)]
texts = st.lists(
    st.sampled_from(["".join(filter(settled, hard)) for hard in HARD.values()])
    | st.text(st.characters(codec="utf-8").filter(settled), max_size=9),
    max_size=6,
).map("".join)
OPTIONS = list(
    itertools.product([True, False], [True, False], [True, False, None], [True, False])
)
CUT = pre_tokenizers.BertPreTokenizer()


@example
def test_bert_normalize_of_a_line_of_many_kinds():
    """A tab is a space, a NUL is nothing, an accent goes, an ideograph stands alone."""
    assert text.bert_normalize("Zürich\t\x00数A") == "zurich  数 a"
    assert text.bert_normalize("Zürich", lowercase=False) == "Zürich"
    assert text.bert_normalize("Zürich", strip_accents=False) == "zürich"


@example
def test_bert_words_of_signs():
    """Each sign is a word, a dollar too; a degree is none."""
    assert text.bert_words("$5.00 -- 20°") == ["$", "5", ".", "00", "-", "-", "20°"]


@law
@given(texts)
def test_bert_words_lose_white_space_alone(string):
    """Joined, they are the text without it, and none is empty."""
    words = text.bert_words(string)
    assert all(words)
    spaces = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000"
    lost = str.maketrans("", "", spaces + "".join(map(chr, range(0x2000, 0x200B))))
    assert "".join(words) == string.translate(lost)


@law
@given(texts)
def test_bert_normalize_twice_is_once(string):
    """What is in the form stays, but for spaces around ideographs, which are added."""
    plain = text.bert_normalize(string, handle_chinese_chars=False)
    assert text.bert_normalize(plain, handle_chinese_chars=False) == plain


@oracle
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_bert_normalize_of_all_characters_is_the_librarys(options):
    """Every character of Unicode that both know alike, with every set of options."""
    library = normalizers.BertNormalizer(*options)
    for at in range(0, len(SETTLED), 5000):
        string = "".join(f"x{character}" for character in SETTLED[at : at + 5000])
        assert text.bert_normalize(string, *options) == library.normalize_str(string)


@oracle
@given(texts, st.sampled_from(OPTIONS))
def test_bert_normalize_of_any_text_is_the_librarys(string, options):
    """Hard texts, one behind the other: marks, joiners, capitals with a dot."""
    library = normalizers.BertNormalizer(*options)
    assert text.bert_normalize(string, *options) == library.normalize_str(string)


@oracle
def test_bert_words_of_all_characters_are_the_librarys():
    """Every character between letters: it is cut off, lost, or part of a word."""
    string = "".join(f"x{character}y " for character in SETTLED)
    assert text.bert_words(string) == [w for w, _ in CUT.pre_tokenize_str(string)]


@oracle
@given(texts)
def test_bert_words_of_any_text_are_the_librarys(string):
    """Spaces of every kind, signs in a row, and what looks like either."""
    assert text.bert_words(string) == [w for w, _ in CUT.pre_tokenize_str(string)]


@oracle
@pytest.mark.parametrize("name", LONG)
def test_bert_words_bear_a_megabyte_in_one_word(name):
    """In a moment, and as the library has it."""
    string = LONG[name][: len(LONG[name]) // 4]
    library = normalizers.BertNormalizer().normalize_str(string)
    normal = text.bert_normalize(string)
    assert normal == library
    assert text.bert_words(normal) == [w for w, _ in CUT.pre_tokenize_str(normal)]


@contract
@pytest.mark.parametrize("string", NO_TEXTS, ids=repr)
def test_bert_normalize_refuses_what_is_no_text(string):
    """One sentence, whatever it is."""
    with pytest.raises(TokenizerError, match="a text is a str|not valid Unicode"):
        text.bert_normalize(string)
