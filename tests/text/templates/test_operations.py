"""The spec of refvlm/text/templates/operations.py."""

import pytest

from refvlm.text.templates import operations
from refvlm.text.templates.values import (
    ListError,
    Loop,
    Missing,
    Said,
    TemplateError,
    Words,
)

from ...spec import contract, example, law

ASKED = Said([Words(" Why? ", True)])
PARTS = [{"type": "image"}, {"type": "text", "text": ASKED}]


@example
def test_part_looks_into_messages_lists_and_loops():
    """What is not there is missing, by the name that the template gave it."""
    assert operations.part(PARTS, 1, "parts[1]") is PARTS[1]
    assert operations.part(PARTS, -2, "parts[-2]") is PARTS[0]
    assert operations.part(Loop(1, 2), "last", "loop.last") is True
    assert operations.part(PARTS, 2, "parts[2]") == Missing("parts[2]")
    assert operations.part(PARTS[0], "text", "part.text") == Missing("part.text")


@example
def test_filtered_selects_by_an_attribute():
    """The pictures of a content, and the texts; of a text, nothing."""
    for kind, entry in zip(("image", "text"), PARTS):
        chosen = operations.filtered(PARTS, "selectattr", ["type", "equalto", kind])
        assert chosen == [entry]
    assert operations.filtered(ASKED, "selectattr", ["type", "==", "text"]) == []
    assert operations.filtered(PARTS, "length", []) == 2
    assert operations.filtered(PARTS, "last", []) is PARTS[1]


@example
def test_tested_knows_texts_from_lists():
    """What a template asks most: is the content a text, or parts?"""
    assert operations.tested(ASKED, "string") and operations.tested("a", "string")
    assert not operations.tested(PARTS, "string")
    assert operations.tested(PARTS, "iterable") and operations.tested({}, "mapping")
    assert operations.tested(Missing("x"), "undefined")
    assert operations.tested(None, "none") and not operations.tested(0, "none")


@law
def test_stripped_words_stay_the_askers():
    """Nothing that is done to a question makes it the template's."""
    assert operations.stripped(ASKED) == Said([Words("Why?", True)])
    assert operations.filtered(ASKED, "trim", []) == Said([Words("Why?", True)])
    assert operations.stripped(" a ", right=False) == "a "


@law
def test_equal_compares_texts_by_their_letters():
    """Whoever said them, also in lists and messages; and a number is no text."""
    assert operations.equal(ASKED, " Why? ") and operations.within("Why", ASKED)
    assert not operations.equal(1, "1") and operations.equal(True, 1)
    assert operations.equal([{"text": ASKED}], [{"text": " Why? "}])
    assert not operations.equal([ASKED], [ASKED, ASKED])
    assert operations.equal(Missing("a"), Missing("b"))
    assert not operations.equal(Missing("a"), None)
    assert operations.within(Missing("a"), [None, Missing("b")])
    assert operations.within("user", ["user", "assistant"])
    assert operations.within("type", PARTS[0]) and not operations.within("x", PARTS)


@contract
@pytest.mark.parametrize(
    "value, name, given",
    [
        ("a", "tojson", []),
        ("a", "trim", ["x"]),
        (ASKED, "upper", []),
        ([], "first", []),
        (PARTS, "selectattr", ["type"]),
        (3, "length", []),
    ],
)
def test_filtered_refuses_what_it_does_not_know(value, name, given):
    """A filter that is guessed is a prompt that no model was trained on."""
    with pytest.raises(TemplateError, match=name):
        operations.filtered(value, name, given)


@contract
def test_operations_refuse_other_values():
    """A list for a text is told apart: then a content may be given as a text."""
    with pytest.raises(ListError):
        operations.filtered(PARTS, "trim", [])
    with pytest.raises(ListError):
        operations.part(PARTS, "text", "parts.text")
    for whole, key in (("text", 0), (ASKED, 0), (Loop(0, 1), "cycle"), (None, "x")):
        with pytest.raises(TemplateError):
            operations.part(whole, key, "a.b")
    with pytest.raises(TemplateError, match="asks for tools"):
        operations.part(Missing("tools"), "name", "tools.name")
    with pytest.raises(TemplateError, match="holds nothing"):
        operations.within("a", None)
    with pytest.raises(TemplateError, match="is 'sameas'"):
        operations.tested("a", "sameas")
