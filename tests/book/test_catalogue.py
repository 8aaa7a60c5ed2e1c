"""The catalogue of what is implemented: every name in it exists."""

import ast
from pathlib import Path

import pytest

from refvlm_book import tables

from ..spec import law

ROOT = Path(__file__).parents[2]
ROWS = tables.catalogue()


@law
def test_catalogue_names_each_thing_once():
    """Numbers are unique and in order, and no cell is empty."""
    numbers = [int(row["id"].removeprefix("A-")) for row in ROWS]
    assert numbers == sorted(set(numbers))
    assert all(cell.strip() for row in ROWS for cell in row.values())


@law
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_catalogue_functions_exist(row):
    """What a row calls implemented can be imported, and says what it is."""
    for name in row["functions"].split():
        assert (tables.resolve(name).__doc__ or "").strip(), f"{name} has no docstring"


@law
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_catalogue_tests_exist(row):
    """The spec that a row points to has tests, and uses one of the row's functions."""
    source = (ROOT / "tests" / row["tests"]).read_text(encoding="utf-8")
    functions = [
        n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.FunctionDef)
    ]
    assert any(function.name.startswith("test_") for function in functions)
    words = {name.rpartition(".")[2] for name in row["functions"].split()}
    assert any(word in source for word in words)


@law
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_catalogue_chapters_exist(row):
    """The chapter of a row is in the book, under that label."""
    label = f"({row['chapter']})="
    pages = (ROOT / "book").glob("*.md")
    assert any(label in page.read_text(encoding="utf-8") for page in pages)


@law
def test_torch_names_are_torchs(compare):
    """Every PyTorch name in the appendix is a function of PyTorch."""

    def ask(torch):
        import numpy as np

        def found(name):
            thing = torch
            for part in name.split(".")[1:]:
                thing = getattr(thing, part, None)
            return callable(thing)

        return {name: np.array(found(name)) for name, _, _ in tables.torch_names()}

    names = [name for name, _, _ in tables.torch_names()]
    answers = compare.answers(ask, (names,))
    assert all(answers[name] for name in names)
    assert len(names) > 30
