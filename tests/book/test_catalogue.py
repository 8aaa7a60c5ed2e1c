"""The catalogue of what is implemented: every name in it exists."""

import ast
import importlib.util
import inspect
import re
from pathlib import Path

import pytest

from refvlm import ops, quantize
from refvlm_book import tables

from ..spec import law

ROOT = Path(__file__).parents[2]
TORCH_NAMES = ROOT / "tests" / "oracle" / "torch-names.txt"
ROWS = tables.catalogue()


def said(row):
    return row["id"] or row["name"]


@law
def test_catalogue_names_each_thing_once():
    """What the sources name has its number; what they do not stands last, by name."""
    numbered = [row for row in ROWS if row["id"]]
    others = [row["name"] for row in ROWS if not row["id"]]
    assert ROWS[: len(numbered)] == numbered, "rows without a number stand last"
    numbers = [int(row["id"].removeprefix("A-")) for row in numbered]
    assert numbers == sorted(set(numbers))
    assert numbers[0] >= 1 and numbers[-1] <= tables.NAMED_BY_SOURCES
    assert others == sorted(set(others)), "rows without a number stand in order of name"
    cells = [(row["name"], key) for row in ROWS for key in row if not row[key].strip()]
    assert {key for _, key in cells} <= {"id"}, f"empty cells: {cells}"


@law
def test_counts_of_the_catalogue_add_up():
    """Done and open are all that the sources name."""
    named, done, still_open, more = map(int, re.findall(r"\d+", tables.counts()))
    assert named == done + still_open == tables.NAMED_BY_SOURCES
    assert done + more == len(ROWS)


@law
@pytest.mark.parametrize("row", ROWS, ids=said)
def test_catalogue_functions_exist(row):
    """What a row calls implemented can be imported, and says what it is."""
    for name in row["functions"].split():
        assert (tables.resolve(name).__doc__ or "").strip(), f"{name} has no docstring"


@law
@pytest.mark.parametrize("row", ROWS, ids=said)
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
@pytest.mark.parametrize("row", ROWS, ids=said)
def test_catalogue_chapters_exist(row):
    """The chapter of a row is in the book, under that label."""
    label = f"({row['chapter']})="
    pages = (ROOT / "book").glob("*.md")
    assert any(label in page.read_text(encoding="utf-8") for page in pages)


def names_of_torch():
    """Everything that PyTorch lets one call in the places that we name."""
    import torch

    places = ["torch", "torch.nn", "torch.nn.functional", "torch.special"]
    places += ["torch.Tensor", "torch.nn.Transformer", "torch.linalg", "torch.fft"]
    for place in places:
        thing = torch
        for part in place.split(".")[1:]:
            thing = getattr(thing, part)
        yield from (
            f"{place}.{name}"
            for name in dir(thing)
            if not name.startswith("_") and callable(getattr(thing, name, None))
        )


@law
def test_torch_names_are_torchs(request):
    """Every PyTorch name in the appendix is a function of PyTorch.

    All of PyTorch's names are kept, not ours alone: a new operator finds its own there
    without torch. `pytest --record-oracles` writes them anew.
    """
    if importlib.util.find_spec("torch"):
        names = sorted(names_of_torch())
        if request.config.getoption("--record-oracles"):
            TORCH_NAMES.write_text("\n".join(names) + "\n", encoding="utf-8")
    else:
        names = TORCH_NAMES.read_text(encoding="utf-8").split()
    ours = {torch for torch, _, _ in tables.torch_names()}
    wrong = ours.difference(names)
    assert not wrong, f"named as an oracle, but not in PyTorch: {', '.join(wrong)}"
    assert len(ours) > 30


@law
@pytest.mark.parametrize("room", [ops, quantize], ids=["ops", "quantize"])
def test_every_operator_has_a_row(room):
    """What the package offers under `ops` and `quantize` is in the catalogue,
    derivatives aside."""
    named = {
        name.rpartition(".")[2] for row in ROWS for name in row["functions"].split()
    }
    operators = {
        name
        for name, function in vars(room).items()
        if inspect.isfunction(function) and not name.endswith("_vjp")
    }
    assert operators <= named, f"no row names {sorted(operators - named)}"
