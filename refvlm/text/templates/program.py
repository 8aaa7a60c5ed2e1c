"""A template as a program: what is printed, for whom, and on what condition.

    program = read(template)
    said = prompt(program, {"messages": [...], "add_generation_prompt": True})

Loops run over messages and their parts, so that a program ends; one that does not, in a
number of steps that none needs, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from .expressions import evaluate, truth
from .tags import Tag, tags
from .values import Loop, Missing, Said, TemplateError, check_length, said

LONGEST_TEMPLATE = 1 << 16  # the longest published ones have a tenth of it
DEEPEST, MOST_STEPS = 32, 10_000
_FOR = re.compile(r"for\s+([^\W\d]\w*)\s+in\s+(.+)", re.DOTALL)
_SET = re.compile(r"set\s+([^\W\d]\w*)\s*=\s*(.+)", re.DOTALL)


class Print(NamedTuple):
    """Print the value of an expression."""

    source: str


class If(NamedTuple):
    """The block of the first condition that holds; one without condition holds."""

    branches: tuple[tuple[str | None, list], ...]


class For(NamedTuple):
    """A block for each entry, under a name."""

    name: str
    source: str
    block: list


class Set(NamedTuple):
    """A name for a value, to the end of the loop that it is in."""

    name: str
    source: str


def read(template: str) -> list:
    """The statements of a template, each with its blocks."""
    if len(template) > LONGEST_TEMPLATE:
        raise TemplateError(f"has more than {LONGEST_TEMPLATE:,} characters")
    left = tags(template)[::-1]
    block, end = _block(left, 0)
    if end is not None:
        raise TemplateError(f"has {end.source!r:.60} where nothing is open")
    return block


def _block(left: list[Tag], depth: int):
    """(statements, the tag that ends them): up to an `end...`, an `else`, or the end.

    `left` is what is to be read, the next tag last.
    """
    if depth > DEEPEST:
        raise TemplateError(f"nests more than {DEEPEST} blocks")
    block: list = []
    while left:
        tag = left.pop()
        word = tag.source.partition(" ")[0] if tag.opening == "{%" else ""
        if tag.opening != "{%":
            block.append(Print(tag.source) if tag.opening else tag.source)
        elif word in ("endif", "endfor", "endgeneration", "elif", "else"):
            return block, tag
        elif word == "if":
            block.append(_if(tag, left, depth))
        elif found := _FOR.fullmatch(tag.source):
            inner, end = _block(left, depth + 1)
            _expect(end, "endfor")
            block.append(For(found[1], found[2], inner))
        elif found := _SET.fullmatch(tag.source):
            block.append(Set(found[1], found[2]))
        elif tag.source == "generation":  # marks what is learnt from, and prints it
            inner, end = _block(left, depth + 1)
            _expect(end, "endgeneration")
            block += inner
        else:
            raise TemplateError(f"uses {tag.source!r:.60}, which is not known here")
    return block, None


def _if(tag, left, depth):
    branches, condition = [], tag.source.removeprefix("if")
    while True:
        inner, end = _block(left, depth + 1)
        branches.append((condition, inner))
        goes_on = end is not None and re.match(r"elif\b|else$", end.source)
        if condition is None or not goes_on:
            _expect(end, "endif")
            return If(tuple(branches))
        condition = end.source[4:] if end.source.startswith("elif") else None


def _expect(end, word):
    if end is None or end.source != word:
        found = "nothing" if end is None else repr(end.source[:60])
        raise TemplateError(f"has {found} where {word!r} should stand")


class Page:
    """What has been printed so far, and the steps that it took."""

    def __init__(self):
        self.words, self.length, self.steps = [], 0, 0

    def step(self) -> None:
        """One statement more, of as many as any template needs."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise TemplateError(f"takes more than {MOST_STEPS:,} steps")

    def print(self, value: Any) -> None:
        """A value more, as a text."""
        for words in said(value):
            self.words.append(words)
            self.length += len(words.text)
        check_length(self.length)


def prompt(program: list, names: Mapping[str, Any]) -> Said:
    """What a program prints, each stretch with who said it."""
    page = Page()
    try:
        _run(program, dict(names), page)
    except RecursionError:
        raise TemplateError("nests its expressions too deeply") from None
    return Said(page.words)


def _run(block, names, page):
    for statement in block:
        page.step()
        match statement:
            case str():
                page.print(statement)
            case Print(source):
                page.print(evaluate(source, names))
            case Set(name, source):
                names[name] = evaluate(source, names)
            case If(branches):
                for condition, inner in branches:
                    if condition is None or truth(evaluate(condition, names)):
                        _run(inner, names, page)
                        break
            case For(name, source, inner):
                entries = _entries(evaluate(source, names))
                for i, entry in enumerate(entries):
                    page.step()
                    inside = {**names, name: entry, "loop": Loop(i, len(entries))}
                    _run(inner, inside, page)


def _entries(value):
    if isinstance(value, Missing):
        raise TemplateError(f"asks for {value.name}, which is not there")
    if isinstance(value, (str, Said)):
        raise TemplateError("goes through the letters of a text")
    if not isinstance(value, list):
        raise TemplateError("goes through what is no list")
    return value
