"""The bibliography: the sources stand there, and a paper says where it is found."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"
ENTRIES = {
    key: dict(re.findall(r"^  (\w+) *= \{(.*)\},$", fields, re.MULTILINE))
    for key, fields in re.findall(
        r"^@\w+\{([^,]+),\n(.*?)^\}$",
        (BOOK / "references.bib").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
}
SOURCES = {"Cortes", "Foundations", "Kamath", "MicroVLM-V", "DeepDive"}
ON_PAPER_ONLY = {"Gage1994"}


def test_five_sources_are_on_the_page():
    """The filter sees keys in small letters; a capital would find nothing."""
    page = (BOOK / "bibliography.md").read_text(encoding="utf-8")
    shown, others = re.findall(r"key (?:not )?in \{(.*)\}", page)
    assert {key.lower() for key in SOURCES} == set(re.findall(r'"([^"]+)"', shown))
    assert shown == others
    assert set(ENTRIES) >= SOURCES


@pytest.mark.parametrize("key", sorted(set(ENTRIES) - SOURCES - ON_PAPER_ONLY))
def test_paper_says_where_it_is_found(key):
    """An arXiv number, a DOI or an address, in the field that becomes a link."""
    entry = ENTRIES[key]
    assert "arXiv:" not in entry.get("note", ""), "an arXiv number is an eprint"
    if "eprint" in entry:
        assert re.fullmatch(r"\d{4}\.\d{4,5}", entry["eprint"])
    elif "doi" in entry:
        assert re.fullmatch(r"10\.\d+/\S+", entry["doi"])
    else:
        assert entry["url"].startswith("https://")
