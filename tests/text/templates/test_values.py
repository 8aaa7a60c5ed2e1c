"""The spec of refvlm/text/templates/values.py."""

import hypothesis
import pytest
from hypothesis import strategies as st

from refvlm.text.templates.values import (
    LONGEST,
    ListError,
    Loop,
    Missing,
    Said,
    TemplateError,
    Words,
    joined,
    said,
)

from ...spec import contract, example, law

stretches = st.lists(
    st.builds(Words, st.text(" \n\tab<", min_size=1, max_size=4), st.booleans()),
    max_size=5,
).map(Said)


@example
def test_joined_keeps_apart_who_said_what():
    """The template's words and the asker's stay two stretches of one text."""
    both = joined("USER: ", Said([Words("Why?", True)]))
    assert both == Said([Words("USER: ", False), Words("Why?", True)])
    assert str(both) == "USER: Why?"
    assert joined("a", "b") == "ab"


@example
def test_a_loop_knows_where_it_stands():
    """Of three: the first, the second and the last, counted from 0 and from 1."""
    first, last = Loop(0, 3), Loop(2, 3)
    assert [first.attribute(name) for name in ("first", "last")] == [True, False]
    assert [last.attribute(name) for name in ("index0", "index", "length")] == [2, 3, 3]
    assert last.attribute("cycle") is None


@law
@hypothesis.given(text=stretches)
def test_stripped_is_strip_of_the_whole(text):
    """Wherever one stretch ends and the next begins."""
    assert str(text.stripped()) == str(text).strip()
    assert str(text.stripped(right=False)) == str(text).lstrip()
    assert str(text.stripped(left=False)) == str(text).rstrip()


@law
@hypothesis.given(first=stretches, second=stretches)
def test_joined_is_one_behind_the_other(first, second):
    """And every character keeps its sayer."""
    both = joined(first, second)
    assert str(both) == str(first) + str(second)
    sayers = [words.asked for words in both for _ in words.text]
    assert sayers == [w.asked for w in (*first, *second) for _ in w.text]


@law
def test_what_is_missing_is_false():
    """A condition may ask for it; a text may not."""
    assert not Missing("tools")
    with pytest.raises(TemplateError, match="asks for tools, which is not there"):
        said(Missing("tools"))


@contract
def test_said_refuses_what_is_no_text():
    """Python's spelling of a list is no prompt."""
    with pytest.raises(ListError, match="takes a list for a text"):
        said([{"type": "image"}])
    for value in (None, True, 1.5):
        with pytest.raises(TemplateError, match="which is no text"):
            said(value)


@contract
def test_joined_refuses_to_grow_without_end():
    """Doubled twenty times, a letter is a million."""
    text = "x"
    with pytest.raises(TemplateError, match="more than 1,048,576 characters"):
        for _ in range(LONGEST.bit_length()):
            text = joined(text, text)
