"""Unicode's normal forms, also of a letter under very many accents."""

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import normalizers

from refvlm.text.normal_forms import normal_form

from ..spec import example, law, oracle
from .hard_texts import HARD, LONG

FORMS = pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
MARKS = "\u0301\u0323\u0308\u0344\u0345\u0327\u05b0\u0f73\u0f71\u3099\u031b\u20dd"


@example
def test_normal_form_puts_marks_in_order():
    """A dot below and an accent: either order is the same letter."""
    one, two = "a\u0323\u0301", "a\u0301\u0323"
    assert normal_form("NFC", one) == normal_form("NFC", two) == "\u1ea1\u0301"
    assert normal_form("NFD", "\u1ea1\u0301") == one


@law
@FORMS
@given(st.lists(st.sampled_from([*MARKS, "e", "-", "가"]), max_size=200).map("".join))
def test_normal_form_is_pythons(form, text):
    """What is put in order before comes out the same."""
    long = "o" + "\u0301\u0323\u0344" * 20
    assert normal_form(form, text) == unicodedata.normalize(form, text)
    assert normal_form(form, long + text) == unicodedata.normalize(form, long + text)


@law
@FORMS
def test_normal_form_of_every_mark_among_many(form):
    """Each character of Unicode that combines, in the midst of a run."""
    marks = [c for c in map(chr, range(sys.maxunicode)) if unicodedata.combining(c)]
    for at in range(0, len(marks), 40):
        text = "a" + "".join(marks[at : at + 40][::-1]) + "b"
        assert normal_form(form, text) == unicodedata.normalize(form, text)


@oracle
def test_normal_form_of_a_heap_of_marks_is_the_librarys():
    """Half a million accents on one letter, which no text has: in a moment."""
    text = LONG["marks"]
    assert normal_form("NFC", text) == normalizers.NFC().normalize_str(text)


@oracle
@FORMS
def test_normal_form_of_hard_texts_is_the_librarys(form):
    """Every text of the hard list."""
    library = getattr(normalizers, form)()
    for text in HARD.values():
        assert normal_form(form, text) == library.normalize_str(text)
