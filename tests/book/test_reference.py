"""The reference: every public name stands in it, and docstrings become its pages."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest
import yaml

from refvlm_sphinx.docstrings import to_rst
from refvlm_sphinx.rooms import THE_COMMAND, room_as_rst

from ..test_floors import MODULES

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "book" / "reference"
ROOMS = sorted({name.split(".")[1] for name in MODULES if "." in name} - THE_COMMAND)
DIRECTIVE = re.compile(r"^\.\. (?:auto|py:)\w+:: (\S+)(?:\n   :module: (\S+))?", re.M)


def public_names(room):
    """What a room's `__all__` offers; without one, what its files define."""
    package = importlib.import_module(f"refvlm.{room}")
    if hasattr(package, "__all__"):
        offered = {name: getattr(package, name) for name in package.__all__}
        return {
            f"refvlm.{room}.{name}"
            for name, thing in offered.items()
            if not inspect.ismodule(thing)
        }
    files = {n: p for n, p in MODULES.items() if n.split(".")[1:2] == [room]}
    return {
        f"{module}.{node.name}"
        for module, path in files.items()
        for node in ast.parse(path.read_text()).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef))
        and not node.name.startswith("_")
    }


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_stands_in_the_reference(room):
    """Nothing that a reader may call is without its entry."""
    page = "\n".join(room_as_rst(room))
    entries = {
        f"{module}.{name}" if module else name
        for name, module in DIRECTIVE.findall(page)
    }
    missing = public_names(room) - entries
    assert not missing, f"not in the reference: {', '.join(sorted(missing))}"


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_has_its_page(room):
    """A page is three lines, which are the same for all; the rest is generated."""
    text = f":nosearch:\n\n{room}\n{'=' * len(room)}\n\n.. room:: {room}\n"
    page = PAGES / f"{room}.rst"
    assert page.is_file() and page.read_text(encoding="utf-8") == text, (
        f"book/reference/{room}.rst should be:\n\n{text}"
    )


def test_every_page_of_the_reference_is_in_the_contents():
    """And none is left of a room that is gone."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [page for part in toc["parts"] for page in part["chapters"]]
    reference = next(page for page in chapters if page["file"] == "book/reference")
    expected = [f"book/reference/{room}" for room in ROOMS]
    assert [page["file"] for page in reference["sections"]] == expected
    assert sorted(page.stem for page in PAGES.iterdir()) == ROOMS


def test_formulas_and_code_become_roles():
    """Both ways of writing a formula are set; what touches one is kept apart by RST."""
    assert to_rst(["The n-th is $x_n$, of `x`; \\(y\\)s."]) == [
        "The n-th is :math:`x_n`\\ , of ``x``\\ ; :math:`y`\\ s.",
        "",
    ]


def test_a_formula_may_go_over_the_end_of_a_line():
    """A docstring is 88 characters wide; a formula does not know that."""
    assert to_rst(["$a +", "b$"]) == [":math:`a + b`", ""]


def test_what_rst_would_read_as_markup_is_escaped():
    """`d_model`, *args and |x| are words of this project, not markup."""
    assert to_rst(["x_ and *y, |z|"]) == ["x\\_ and \\*y, \\|z\\|", ""]


def test_words_between_stars_are_emphasised():
    """A star of arithmetic or of Python's is none of those."""
    assert to_rst(["by *and*, as *all of it*."]) == ["by *and*, as *all of it*.", ""]
    assert to_rst(["f(*a, *b) 2*a*b *x"]) == ["f(\\*a, \\*b) 2\\*a\\*b \\*x", ""]


def test_source_and_oracle_become_fields():
    """And a known tag becomes a citation; an interval does not."""
    assert to_rst(["It is. Oracle: torch.erf."])[2] == ":Oracle: torch.erf."
    lines = ["Source: [Cortes] 2.1, for", "[a, b]. Oracle: torch.erf."]
    assert to_rst(lines, {"Cortes"}) == [
        ":Source: :cite:`Cortes` 2.1, for [a, b].",
        ":Oracle: torch.erf.",
        "",
    ]


def test_examples_and_drawings_stay_as_they_are():
    """A doctest is a doctest to RST too; indented lines are shown as they stand."""
    assert to_rst([">>> f(1)", "2"]) == [">>> f(1)", "2", ""]
    drawing = ["Said:", "", "    a_b", "", "    c", "", "After."]
    assert to_rst(drawing) == [
        *["Said:", "", "::", "", "        a_b", "", "        c", ""],
        *["After.", ""],
    ]


def test_an_item_of_a_list_may_have_several_lines():
    """RST wants the second line indented; here it joins the first."""
    assert to_rst(["- one,", "  and more", "- two"]) == ["- one, and more", "- two", ""]
