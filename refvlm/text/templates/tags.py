"""A template, cut into what it prints as it stands and what it says in braces.

    {{ expression }}     its value is printed
    {% statement %}      a loop, a condition, a name
    {# remark #}         nothing

White space is treated as transformers has Jinja treat it: a newline behind a statement
goes, and so does what stands before one on its line; a minus takes all of it.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from .values import TemplateError

CLOSING = {"{{": "}}", "{%": "%}", "{#": "#}"}
_OPENING = re.compile(r"\{\{|\{%|\{#")
_STRING = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)


class Tag(NamedTuple):
    """Words as they stand (opening is empty), or what stands between two braces."""

    opening: str
    source: str


def tags(template: str) -> list[Tag]:
    r"""The words and the tags of a template, in their order.

    >>> [tag.source for tag in tags("{% if a %}\nyes {{ b }}\n  {% endif %}")]
    ['if a', 'yes ', 'b', '\n', 'endif']
    """
    template = template.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
    cut, place, line_starts = [], 0, True
    while True:
        opening = _OPENING.search(template, place)
        words = template[place : opening.start() if opening else None]
        if opening is None:
            cut.append(Tag("", words))
            return [tag for tag in cut if tag.opening or tag.source]
        kind, inside = opening.group(), opening.end()
        sign = template[inside : inside + 1]
        cut.append(Tag("", _before(words, kind, sign, line_starts)))
        inside += sign == "-" or (sign == "+" and kind != "{{")
        end = _end(template, inside, kind)
        source = template[inside:end]
        place, line_starts = end + 2, False
        if source.endswith("-"):
            while place < len(template) and template[place].isspace():
                place += 1
        elif kind != "{{" and not source.endswith("+"):
            line_starts = template[place : place + 1] == "\n"
            place += line_starts
        if kind != "{#":
            cut.append(Tag(kind, source.removesuffix("-").removesuffix("+").strip()))


def _before(words, kind, sign, line_starts):
    """The words before a tag, without the white space that it takes away."""
    if sign == "-":
        return words.rstrip()
    if kind == "{{" or sign == "+":
        return words
    start = words.rfind("\n") + 1
    if (start or line_starts) and not words[start:].strip():
        return words[:start]
    return words


def _end(template, place, kind):
    """Where the closing braces of a tag stand, outside its strings."""
    closing = CLOSING[kind]
    if kind == "{#":
        place = template.find(closing, place)
        if place < 0:
            raise TemplateError("has a remark without an end")
        return place
    while place < len(template):
        if template.startswith(closing, place):
            return place
        if template[place] in "'\"":
            string = _STRING.match(template, place)
            if string is None:
                break
            place = string.end()
        else:
            place += 1
    raise TemplateError(f"has a {kind} without its {closing}")
