"""The spec of the house: who may use whom, and what every operator has."""

import ast
import doctest
import importlib
import inspect
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path

import numpy as np
import pytest

import refvlm
from refvlm import ops

from .spec import contract, law

ROOT = Path(refvlm.__file__).parent
TESTS = Path(__file__).parent
GUIDE = TESTS.parent / "CONTRIBUTING.md"
BIBLIOGRAPHY = TESTS.parent / "book" / "references.bib"

# A module imports from its own floor or from one below; the lowest floor is first.
FLOORS = {
    room: floor
    for floor, rooms in enumerate(
        (
            "arguments by_name shapes half sums variable autodiff parallel terminal",
            "kernels",
            "ops",
            "scenes image text checkpoint",
            "objectives metrics",
            "quantize",
            "generate",
            "blocks",
            "models",
            "train graph",
            "pretrained",
            "analysis",
            "recipes",
            "frontiers",
            "commands cli __main__ __init__",
        )
    )
    for room in rooms.split()
}
PACKAGES = {"numpy", "PIL", "safetensors", "tokenizers", "threadpoolctl"}


def modules():
    """name -> file, as in "refvlm.ops.convolution"."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = ("refvlm", *path.relative_to(ROOT).with_suffix("").parts)
        found[".".join(part for part in parts if part != "__init__")] = path
    return found


MODULES = modules()


def imports_of(name):
    """Every module that a module imports, inside functions too."""
    path = MODULES[name]
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package.rsplit(".", node.level - 1)[0] if node.level else ""
            source = ".".join(part for part in (base, node.module) if part)
            for alias in node.names:
                part = f"{source}.{alias.name}"
                yield part if part in MODULES else source


GRAPH = {name: set(imports_of(name)) for name in MODULES}


def floor_of(name):
    parts = name.split(".")
    return FLOORS[parts[1] if len(parts) > 1 else "__init__"]


def is_ours(name):
    return name.split(".")[0] == "refvlm"


@law
def test_floors_know_every_module():
    """A new room has a place in the table above."""
    rooms = {name.split(".")[1] for name in MODULES if "." in name}
    assert rooms <= FLOORS.keys()


def floors_table():
    """The floors as the guide shows them: each room with what its docstring says."""
    rooms = {name.split(".")[1] for name in MODULES if "." in name}
    lines = ["| Floor | Rooms |", "|--:|---|"]
    for floor in sorted(set(FLOORS.values()), reverse=True):
        cells = [
            said_of(room)
            for room in FLOORS
            if FLOORS[room] == floor and room in rooms - {"__main__"}
        ]
        if cells:
            lines.append(f"| {floor} | {'<br>'.join(cells)} |")
    return "\n".join(lines)


def said_of(room):
    """A room and the first sentence of its docstring, without the room's own name."""
    module = importlib.import_module(f"refvlm.{room}")
    first = " ".join(inspect.getdoc(module).split("\n\n")[0].split())
    title, _, rest = first.split(". ")[0].rstrip(".").partition(": ")
    folder = f"{room}/" if hasattr(module, "__path__") else f"{room}.py"
    return f"`{folder}` {rest or title[0].lower() + title[1:]}"


@law
def test_floors_stand_in_the_guide():
    """Whoever reads CONTRIBUTING.md finds the house as it is."""
    table = floors_table()
    there = table in GUIDE.read_text(encoding="utf-8")
    assert there, f"the table of floors in CONTRIBUTING.md should be:\n\n{table}"


@law
def test_floors_are_built_on_what_lies_below():
    """Nothing is imported from a floor above."""
    assert not [
        f"{name} (floor {floor_of(name)}) imports {used} (floor {floor_of(used)})"
        for name in MODULES
        for used in GRAPH[name]
        if is_ours(used) and floor_of(used) > floor_of(name)
    ]


@law
def test_floors_have_no_circles():
    """Every module can be read before the modules that use it."""
    waiting = {name: {u for u in GRAPH[name] if is_ours(u)} for name in MODULES}
    while ready := [name for name, used in waiting.items() if not used]:
        waiting = {
            name: used.difference(ready)
            for name, used in waiting.items()
            if name not in ready
        }
    assert not waiting, f"in a circle, or importing one: {sorted(waiting)}"


@law
def test_rooms_open_when_they_are_named():
    """`import refvlm; refvlm.ops` works, `dir(refvlm)` shows what there is, and nothing
    is brought along that was not asked for."""
    rooms = {name.split(".")[1] for name in MODULES if "." in name} - {"__main__"}
    assert rooms == {*refvlm.__all__} - {"load"}
    assert {*refvlm.__all__} <= {*dir(refvlm)}
    for room in rooms:
        assert getattr(refvlm, room) is importlib.import_module(f"refvlm.{room}")
    assert refvlm.load is refvlm.pretrained.load
    program = "import sys, refvlm; print(*(n for n in sys.modules if 'refvlm.' in n))"
    asked = [sys.executable, "-c", program]
    told = subprocess.run(
        asked, capture_output=True, text=True, check=True, cwd=TESTS.parent
    )
    assert told.stdout == "\n"
    with pytest.raises(AttributeError, match="no attribute 'attic'"):
        _ = refvlm.attic


@law
def test_floors_stand_on_five_packages():
    """NumPy, Pillow, safetensors, tokenizers, threadpoolctl, and Python itself."""
    allowed = PACKAGES | sys.stdlib_module_names | {"refvlm"}
    assert not [
        f"{name} imports {used}"
        for name in MODULES
        for used in GRAPH[name]
        if used.split(".")[0] not in allowed
    ]


@law
def test_files_are_not_hidden_by_functions_of_their_name():
    """`from .pool import pool` in a package would hide the file behind the function."""
    for name in sorted(MODULES.keys() - {"refvlm", "refvlm.__main__"}):
        module = importlib.import_module(name)
        package = importlib.import_module(name.rpartition(".")[0])
        assert getattr(package, name.rpartition(".")[2]) is module


@law
def test_files_of_operators_do_not_bear_the_name_of_a_function_in_them():
    """A file of operators is a family; `softmax.softmax` would be said twice.

    A model and a piece of one have a file each, and may share its name.
    """
    for name, path in MODULES.items():
        if name.startswith("refvlm.ops."):
            inside = {
                node.name
                for node in ast.parse(path.read_text()).body
                if isinstance(node, ast.FunctionDef)
            }
            assert path.stem not in inside, name


@law
def test_files_stay_short_enough_to_read():
    """One idea per file: no more than 400 lines; no function over 60."""
    long = []
    for name, path in MODULES.items():
        text = path.read_text()
        if text.count("\n") > 400:
            long.append(f"{name}: {text.count(chr(10))} lines")
        long += [
            f"{name}.{node.name}: {node.end_lineno - node.lineno + 1} lines"
            for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef)
            and node.end_lineno - node.lineno + 1 > 60
        ]
    assert not long


BRITISH = re.compile(
    r"colour|centre|grey|neighbour|behaviour|modelling|labelled"
    r"|(?:normal|token|optim|regular|initial|quant|standard|recogn|material)is(?!m)"
)
DATA = {"scenes", "recipes", "metrics"}  # where a colour is a word that is answered


@law
@pytest.mark.parametrize("name", sorted(MODULES))
def test_identifiers_are_spelled_as_the_field_spells_them(name):
    """center_crop, normalize, tokenizer; the sentences around them are British."""
    path = MODULES[name]
    words = {path.stem, *read_names(path.read_text())}
    british = {word for word in words if BRITISH.search(word.lower())}
    if name.split(".")[1:2] and name.split(".")[1] in DATA:
        british = {word for word in british if "colour" not in word.lower()}
    assert not british, f"in the field's spelling, please: {', '.join(sorted(british))}"


def read_names(source):
    """Every identifier that a file uses."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return {token.string for token in tokens if token.type == tokenize.NAME}


@law
@pytest.mark.parametrize("name", sorted(set(MODULES) - {"refvlm.__main__"}))
def test_examples_in_docstrings_are_true(name):
    """What a docstring shows after >>> is what Python answers."""
    module = importlib.import_module(name)
    outcome = doctest.testmod(module, extraglobs={"np": np})
    assert outcome.failed == 0


OPERATORS = {
    name: function
    for name, function in vars(ops).items()
    if inspect.isfunction(function)
    and not name.startswith("_")
    and not name.endswith("_vjp")
}


def is_differentiable(function):
    return getattr(function, "derivative", None) is not None


@law
@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_operators_say_where_they_come_from(name):
    """An operator's docstring has a Source and an Oracle, a helper's one of them."""
    text = inspect.getdoc(OPERATORS[name]) or ""
    said = ["Source:" in text, "Oracle:" in text]
    if is_differentiable(OPERATORS[name]):
        assert all(said), f"{name}: its docstring lacks Source: or Oracle:"
    assert any(said), f"{name}: its docstring names neither Source: nor Oracle:"


TAG = re.compile(r"\[([A-Za-z][\w-]*)\]")
KEYS = set(re.findall(r"(?m)^@\w+\{([^,]+),", BIBLIOGRAPHY.read_text(encoding="utf-8")))


@law
@pytest.mark.parametrize("name", sorted(MODULES))
def test_sources_are_in_the_bibliography(name):
    """A tag behind `Source:` is the key of an entry in book/references.bib."""
    for node in ast.walk(ast.parse(MODULES[name].read_text())):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
            for said in (ast.get_docstring(node) or "").split("Source:")[1:]:
                tags = set(TAG.findall(said.split("\n\n")[0].split("Oracle:")[0]))
                unknown = ", ".join(sorted(tags - KEYS))
                where = f"{name}.{getattr(node, 'name', '')}".rstrip(".")
                assert not unknown, f"{where}: {unknown}: not in book/references.bib"


def names_of_tests(kind):
    """The names of all tests of one kind."""
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and any(
                isinstance(mark, ast.Name) and mark.id == kind
                for mark in node.decorator_list
            ):
                yield node.name.removeprefix("test_")


def subject_of(test):
    """The operator a test is about: the longest name that its own begins with."""
    return max(
        (name for name in OPERATORS if f"{test}_".startswith(f"{name}_")),
        key=len,
        default=None,
    )


DERIVED = {subject_of(test) for test in names_of_tests("derivative")}
DIFFERENTIABLE = [
    name for name, function in OPERATORS.items() if is_differentiable(function)
]


@law
@pytest.mark.parametrize("name", sorted(DIFFERENTIABLE))
def test_operators_with_a_derivative_have_it_tested(name):
    """Every vjp has a test of the kind "derivative" that begins with its name."""
    assert name in DERIVED, f"no derivative test begins with test_{name}"


@law
@pytest.mark.parametrize("name", sorted(DIFFERENTIABLE))
def test_operators_offer_their_vjp_beside_them(name):
    """`ops.softmax_vjp` stands beside `ops.softmax`."""
    assert getattr(ops, f"{name}_vjp", None) is OPERATORS[name].derivative


@contract
def test_floors_are_told_apart_from_packages_of_the_same_name():
    """A guard on the test itself: relative imports are read as they are meant."""
    assert "refvlm.kernels.windows" in GRAPH["refvlm.ops.convolution"]
    assert "refvlm.autodiff" in GRAPH["refvlm.ops.convolution"]
    assert "numpy" in GRAPH["refvlm.ops.convolution"]
