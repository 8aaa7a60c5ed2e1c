"""The glossary: each term has a chapter, and is a word of that chapter."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"
TEXT = (BOOK / "glossary.md").read_text(encoding="utf-8")
PAGES = {
    label: page
    for page in (file.read_text(encoding="utf-8") for file in BOOK.glob("*.md"))
    for label in re.findall(r"^\(([\w-]+)\)=\n# ", page, re.MULTILINE)
}
ENTRY = re.compile(r"((?:^\S.*\n)+)((?:^  .*\n)+)", re.MULTILINE)
ENTRIES = [
    (names.split("\n")[:-1], " ".join(said.split()))
    for names, said in ENTRY.findall(TEXT.split("```{glossary}\n")[1])
]


@pytest.mark.parametrize(
    ("names", "said"), ENTRIES, ids=[names[0] for names, _ in ENTRIES]
)
def test_term_occurs_in_the_chapter_that_explains_it(names, said):
    """A term that no chapter uses is one that nobody looks for."""
    labels = re.findall(r"\{ref\}`([\w-]+)`", said)
    assert len(labels) == 1, f"{names[0]} names {len(labels)} chapters"
    page = " ".join(PAGES[labels[0]].split())
    words = "|".join(re.escape(name).replace(r"\-", "[- ]") for name in names)
    assert re.search(rf"\b(?:{words})", page, re.IGNORECASE), (
        f"{names} in {labels[0]}: the chapter does not say it"
    )


def test_terms_are_in_order_and_each_is_there_once():
    """One finds a word by its first letter."""
    first = [names[0].casefold() for names, _ in ENTRIES]
    assert first == sorted(first)
    every = [name for names, _ in ENTRIES for name in names]
    assert len(every) == len(set(every))


def test_glossary_covers_every_chapter():
    """A chapter without a single term is one that the glossary has forgotten."""
    chapters = {label for label in PAGES if label.startswith("ch-")}
    named = set(re.findall(r"\{ref\}`([\w-]+)`", TEXT))
    assert chapters - named == set()
