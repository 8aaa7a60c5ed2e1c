"""The table of symbols: one meaning each, and names that are in the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "book" / "notation.md").read_text(encoding="utf-8")
EVERYWHERE, IN_ONE_CHAPTER = PAGE.split("(notation-one-chapter)=")
SOURCES = "\n".join(
    file.read_text(encoding="utf-8") for file in (ROOT / "refvlm").rglob("*.py")
)

# Written there for some letters, which stand for all.
EXAMPLES = {r"\R^{m \times n}": r"\R", r"A\transpose": r"\transpose", "[a; b]": "; "}
EXAMPLES |= {"w * x": " * "}


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


def formulas(page: str) -> str:
    """What is set as mathematics on a page, without its code."""
    blocks = re.findall(r"^ *[`:]{3,}\{math\}(.*?)^ *[`:]{3,}", page, re.M | re.DOTALL)
    prose = re.sub(r"^ *(`{3,}).*?^ *\1`*$", "", page, flags=re.MULTILINE | re.DOTALL)
    return " ".join([*blocks, *re.findall(r"\$([^$]+)\$", prose)])


@pytest.mark.parametrize(
    ("symbol", "label"),
    [
        (symbol, re.findall(r"`(ch-[\w-]+)`", cells[-1])[0])
        for cells in rows(EVERYWHERE)
        for symbol in symbols(cells[0])
    ],
)
def test_symbol_is_used_in_the_chapter_that_introduces_it(symbol, label):
    """A row that no chapter keeps to would be a table for nobody."""
    (page,) = (
        text
        for text in (p.read_text("utf-8") for p in (ROOT / "book").glob("*.md"))
        if f"\n({label})=\n" in text
    )
    sign = EXAMPLES.get(symbol, symbol.split("_")[0])
    pattern = rf"(?<![A-Za-z\\]){re.escape(sign)}(?![A-Za-z])"
    assert sign in EXAMPLES.values() or re.search(pattern, formulas(page)), symbol
    assert sign in formulas(page), symbol


def test_every_name_in_the_table_is_in_the_code():
    """A reader who searches for the name finds it."""
    for row in rows(EVERYWHERE):
        code = row[2] if len(row) == 4 else ""
        for name in re.findall(r"`([a-zA-Z_.]+)`", code):
            word = name.removeprefix("ops.").removeprefix("np.").split(".")[-1]
            assert re.search(rf"\b{word}\b", SOURCES) or name == "A.T", name


@pytest.mark.parametrize(
    ("label", "letters"),
    re.findall(r"^\| \{ref\}`(ch-[\w-]+)` \| (.*) \|$", IN_ONE_CHAPTER, re.MULTILINE),
)
def test_a_chapter_writes_the_letters_that_are_its_own(label, letters):
    """The last table names no letter that its chapter writes otherwise.

    A formula that explains a letter, such as a quotient, is not looked for.
    """
    (page,) = (
        text
        for text in (p.read_text("utf-8") for p in (ROOT / "book").glob("*.md"))
        if f"\n({label})=\n" in text
    )
    code = r"^ *(`{3,})(?:\{(?:code-cell|literalinclude)\}|\w).*?^ *\1$"
    prose = re.sub(code, "", page, flags=re.MULTILINE | re.DOTALL)
    written = formulas(page) + " ".join(
        re.findall(r"\$((?:[^$\n]|\n(?!\n))+)\$", prose)
    )
    written = written.replace(" \\", "\\")
    cells = re.findall(r"\$([^$]+)\$", letters)
    for cell in (cell for cell in cells if "/" not in cell):
        for symbol in symbols(cell) or [cell]:
            sign = re.sub(r"_(i|j|\{ij\})$", "", symbol).replace(" \\", "\\")
            pattern = rf"(?<![A-Za-z\\]){re.escape(sign)}(?![A-Za-z])"
            assert re.search(pattern, written), (label, symbol)
