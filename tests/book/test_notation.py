"""The table of symbols: one meaning each, and names that are in the code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")
EVERYWHERE, IN_ONE_CHAPTER = PAGE.split("(notation-one-chapter)=")
SOURCES = "\n".join(
    file.read_text(encoding="utf-8") for file in (ROOT / "refvlm").rglob("*.py")
)


def rows(text: str) -> list[list[str]]:
    """The cells of each row; a bar inside a formula is written as a word of TeX."""
    lines = re.findall(r"^\| *(\$.*) \|$", text, re.MULTILINE)
    return [line.split(" | ") for line in lines]


def symbols(cell: str) -> list[str]:
    """`$\\mu, \\sigma$` is two symbols; a comma inside brackets parts none."""
    formula = re.sub(r"\(.*?\)|\\lVert.*\\rVert|\\langle.*\\rangle", "", cell)
    parts = (part.strip() for part in formula.strip("$ ").split(","))
    return [part for part in parts if part]


def test_every_symbol_has_one_meaning():
    """Two rows for one letter would be two meanings."""
    seen: dict[str, str] = {}
    for cell, meaning, *_ in rows(EVERYWHERE):
        for symbol in symbols(cell):
            assert symbol not in seen, f"{symbol}: {seen[symbol]}, and {meaning}"
            seen[symbol] = meaning
    assert {"x", r"\mu", r"\tau", "P"} <= set(seen)


def test_every_name_in_the_table_is_in_the_code():
    """A reader who searches for the name finds it."""
    for row in rows(EVERYWHERE):
        code = row[2] if len(row) == 4 else ""
        for name in re.findall(r"`([a-zA-Z_.]+)`", code):
            word = name.removeprefix("ops.").removeprefix("np.").split(".")[-1]
            assert re.search(rf"\b{word}\b", SOURCES) or name == "A.T", name
