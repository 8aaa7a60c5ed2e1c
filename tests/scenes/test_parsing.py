"""The parser: what a caption states, and what it does not understand."""

import hypothesis
import pytest
from hypothesis import strategies as st

from refvlm import scenes

from ..spec import contract, example, law

RING = scenes.Described("small", "red", "ring")
STAR = scenes.Described("large", "blue", "star")


@example
@pytest.mark.parametrize(
    ("caption", "statement"),
    [
        ("a small red ring.", scenes.Statement((RING,))),
        (
            "There is a small red ring at the top left",
            scenes.Statement((RING,), places=((0, "top left"),)),
        ),
        (
            "a small red ring to the left of a large blue star.",
            scenes.Statement((RING, STAR), ((0, "left of", 1),)),
        ),
        (
            "from bottom to top: a small red ring, a large blue star, and a small red "
            "ring.",
            scenes.Statement((RING, STAR, RING), ((0, "below", 1), (1, "below", 2))),
        ),
    ],
)
def test_parse_reads_every_form(caption, statement):
    """Objects in the order in which they are named; relations and places by number."""
    assert scenes.parse(caption) == statement


@contract
@pytest.mark.parametrize(
    ("caption", "complaint"),
    [
        ("", "the caption is empty"),
        (".", "the caption is empty"),
        ("a small ring.", "expected a colour, found 'ring'"),
        ("a small red", "expected a shape, found the end"),
        ("a small red ring near a large blue star.", "expected a relation, found"),
        ("a small red ring at the door.", "not a place: 'door'"),
        ("a small red ring. a small red ring.", "expected a relation, found '.'"),
        ("from left to top: a small red ring.", "no order from left to top"),
        ("from left to right a small red ring.", "expected ':'"),
        ("from left to right: a small red ring and", "expected a size, found the end"),
        ("a small red ring above a large blue star below", "not understood: 'below'"),
        ("from left to right: " + "a small red ring, " * 50, "not understood"),
    ],
)
def test_parse_says_what_it_did_not_understand(caption, complaint):
    """What a model says can be anything; the error names the word."""
    with pytest.raises(ValueError, match=complaint):
        scenes.parse(caption)


@law
@hypothesis.given(
    words=st.lists(
        st.sampled_from(
            [
                *("a", "small", "large", "red", "ring", "star", "to", "the", "left"),
                *("of", "at", "top", ":", ",", ".", "and", "from", "above", "right"),
            ]
        )
    )
)
def test_parse_reads_or_refuses_any_words(words):
    """A statement or a ValueError, never another error."""
    try:
        statement = scenes.parse(" ".join(words))
    except ValueError:
        return
    assert 1 <= len(statement.objects) <= 8
