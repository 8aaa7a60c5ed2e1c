"""What a template does with a value: look into it, filter it, test it, compare it.

Each is Jinja's, of the values that a conversation is made of. What is asked of another
value, or by a name that is not here, is refused: a guess would be a prompt that the
model was not trained on.
"""

from __future__ import annotations

import re
from typing import Any

from .values import ListError, Loop, Missing, Said, TemplateError, said

CASES = ("upper", "lower", "title", "capitalize")
WORD_STARTS = re.compile(r"([-\s({\[<]+)")  # behind these the filter begins a word


def part(whole: Any, key: Any, source: str) -> Any:
    """One entry of a message, a list or a loop; what is not there is `Missing`.

    `source` is how the template wrote it.
    """
    if isinstance(whole, dict) and isinstance(key, str):
        return whole.get(key, Missing(source))
    if isinstance(whole, Loop) and isinstance(key, str):
        known = whole.attribute(key)
        if known is not None:
            return known
    if isinstance(whole, list) and type(key) is int:
        there = -len(whole) <= key < len(whole)
        return whole[key] if there else Missing(source)
    if isinstance(whole, Missing):
        raise TemplateError(f"asks for {whole.name}, which is not there")
    if isinstance(whole, list):
        raise ListError("takes a list for a text")
    raise TemplateError(f"uses {source!r:.80}, which is not understood here")


def stripped(value: Any, left: bool = True, right: bool = True) -> str | Said:
    """A text without white space at its ends."""
    if not isinstance(value, str):
        return said(value).stripped(left, right)
    value = value.lstrip() if left else value
    return value.rstrip() if right else value


def filtered(value: Any, name: str, given: list) -> Any:
    """`value | name(given)`.

    >>> filtered([{"type": "image"}], "selectattr", ["type", "equalto", "image"])
    [{'type': 'image'}]
    """
    match name, given:
        case "trim", []:
            return stripped(value)
        case (("length" | "count"), []):
            if isinstance(value, (list, str, Said)):
                return len(value if isinstance(value, list) else str(value))
        case "list", [] if isinstance(value, list):
            return value
        case (("first" | "last"), []) if isinstance(value, list) and value:
            return value[0 if name == "first" else -1]
        case "title", [] if isinstance(value, str):
            words = WORD_STARTS.split(value)
            return "".join(word[:1].upper() + word[1:].lower() for word in words)
        case _, [] if name in CASES and isinstance(value, str):
            return cased(value, name)
        case "selectattr", [str(key), ("equalto" | "eq" | "=="), wanted]:
            if isinstance(value, list):
                return [each for each in value if equal(part(each, key, key), wanted)]
            if isinstance(value, (str, Said)):
                return []  # no character of a text has attributes
    if isinstance(value, list) and (name in CASES or name == "trim"):
        raise ListError("takes a list for a text")
    raise TemplateError(f"uses {name!r:.40} of {given!r:.40}, which is not known here")


def cased(value: Any, name: str) -> str:
    """`value.name()`, Python's, whose `title` begins a word behind any other sign: of
    "o'neil" it makes "O'Neil", where the filter makes "O'neil"."""
    if isinstance(value, str):
        return getattr(value, name)()
    return filtered(value, name, [])  # which refuses it


def equal(first: Any, second: Any) -> bool:
    """Whether two values are the same, as in Python, where true is 1; what is not there
    equals only what is not there either."""
    if isinstance(first, Missing) or isinstance(second, Missing):
        return isinstance(first, Missing) and isinstance(second, Missing)
    texts = (str, Said)
    if isinstance(first, texts) and isinstance(second, texts):
        return str(first) == str(second)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(equal, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(
            equal(first[key], second[key]) for key in first
        )
    return first == second


def within(entry: Any, whole: Any) -> bool:
    """Whether a list, a text or a message holds an entry."""
    if isinstance(whole, dict) and isinstance(entry, str):
        return entry in whole
    if isinstance(whole, list):
        return any(equal(entry, each) for each in whole)
    if isinstance(whole, (str, Said)) and isinstance(entry, (str, Said)):
        return str(entry) in str(whole)
    raise TemplateError("looks for something in what holds nothing")


def tested(value: Any, name: str) -> bool:
    """`value is name`."""
    kinds = {
        "defined": not isinstance(value, Missing),
        "undefined": isinstance(value, Missing),
        "string": isinstance(value, (str, Said)),
        "mapping": isinstance(value, dict),
        "iterable": isinstance(value, (list, dict, str, Said)),
        "sequence": isinstance(value, (list, dict, str, Said)),
        "none": value is None,
        "true": value is True,
        "false": value is False,
    }
    if name not in kinds:
        raise TemplateError(f"asks whether a value is {name!r:.40}, not known here")
    return kinds[name]
