"""The reference: a page for each room of the package, made from what it offers.

`.. room:: ops` documents every public name of `refvlm.ops`, file by file, with
autodoc; `.. rooms::` lists the rooms. Nothing is written by hand: what a package
offers is its `__all__`, or else what its files define.
"""

from __future__ import annotations

import csv
import functools
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.nodes import nested_parse_with_titles

import refvlm

from .docstrings import to_rst

BOOK = Path(__file__).parents[2]
THE_COMMAND = {"cli", "commands", "__main__"}  # `refvlm --help` documents it
LONGEST_VALUE = 60


def room_names() -> list[str]:
    """Every file and folder of the package but those of the command."""
    inside = {module.name for module in pkgutil.iter_modules(refvlm.__path__)}
    return sorted(inside - THE_COMMAND)


def public_names(room: str) -> Iterator[tuple[ModuleType, str, Any]]:
    """(where it is written, its address without `refvlm.`, the thing itself).

    A package with an `__all__` offers just that; one without offers what its files do.
    """
    package = importlib.import_module(f"refvlm.{room}")
    modules = [package]
    if hasattr(package, "__path__") and not hasattr(package, "__all__"):
        inside = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
        modules += [importlib.import_module(module.name) for module in inside]
    for module in modules:
        for name in getattr(module, "__all__", None) or _defined(module):
            thing = getattr(module, name)
            if not inspect.ismodule(thing):
                home = inspect.getmodule(thing) if callable(thing) else module
                yield home or module, f"{module.__name__}.{name}"[7:], thing


def _defined(module: ModuleType) -> list[str]:
    """The functions and classes that a file without `__all__` defines for others."""
    return [
        name
        for name, thing in vars(module).items()
        if not name.startswith("_")
        and callable(thing)
        and getattr(thing, "__module__", None) == module.__name__
    ]


def room_as_rst(room: str, keys: frozenset[str] = frozenset()) -> list[str]:
    """The page of a room: what it is, then its files, each with what it offers."""
    package = importlib.import_module(f"refvlm.{room}")
    lines = _module_docstring(package, keys)
    by_file: dict[ModuleType, list[str]] = {}
    for home, address, thing in public_names(room):
        by_file.setdefault(home, []).extend(_entry(address, thing))
    for home in sorted(by_file, key=lambda home: home.__name__):
        if home is not package:
            title = home.__name__.removeprefix("refvlm.").replace(".", "/") + ".py"
            lines += [title, "-" * len(title), "", *_module_docstring(home, keys)]
        lines += by_file[home]
    return lines


def _module_docstring(module: ModuleType, keys: frozenset[str]) -> list[str]:
    return [*to_rst((inspect.getdoc(module) or "").splitlines(), keys), ""]


def _entry(address: str, thing: Any) -> list[str]:
    """The directive of one name."""
    name = f"refvlm.{address}"
    room, _, short = name.rpartition(".")
    if inspect.isclass(thing) and issubclass(thing, BaseException):
        return [f".. autoexception:: {name}", ""]
    if inspect.isclass(thing):
        return [f".. autoclass:: {name}", "   :members:", ""]
    if callable(thing):
        return [f".. autofunction:: {name}", ""]
    value = f":value: {thing!r}"
    if len(value) > LONGEST_VALUE or " at 0x" in value:
        value = f":type: {type(thing).__name__}"
    return [f".. py:data:: {short}", f"   :module: {room}", f"   {value}", ""]


class Room(SphinxDirective):
    """`.. room:: ops`"""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        keys = self.config.refvlm_keys
        return _parsed(self, room_as_rst(self.arguments[0], keys))


class Rooms(SphinxDirective):
    """`.. rooms::`: each room with the first words of its docstring."""

    def run(self) -> list[nodes.Node]:
        lines = []
        for room in room_names():
            doc = inspect.getdoc(importlib.import_module(f"refvlm.{room}")) or ""
            first = " ".join(doc.split("\n\n")[0].split())
            said = to_rst([first], self.config.refvlm_keys)[0]
            lines.append(f"- :doc:`{room} <reference/{room}>`: {said}")
        return _parsed(self, lines)


def _parsed(directive: SphinxDirective, lines: list[str]) -> list[nodes.Node]:
    container = nodes.Element()
    content = StringList(lines, source=directive.get_source_info()[0])
    nested_parse_with_titles(directive.state, content, container)
    return container.children


@functools.cache
def chapters() -> dict[str, str]:
    """`refvlm.ops.softmax` -> the label of the chapter that explains it."""
    labels: dict[str, str] = {}
    with open(BOOK / "catalogue.csv", newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name in row["functions"].split():
                labels.setdefault(f"refvlm.{name}", row["chapter"])
    return labels


def rewrite(
    app: Sphinx, what: str, name: str, thing: Any, options: Any, lines: list[str]
) -> None:
    """autodoc's docstring as RST, with the chapter that explains the function."""
    rst = to_rst(lines, app.config.refvlm_keys)
    if label := chapters().get(name):
        fields = [
            place for place, line in enumerate(rst) if line.startswith(":Oracle:")
        ]
        rst.insert(fields[-1] + 1 if fields else len(rst), f":Chapter: :ref:`{label}`")
    lines[:] = [*rst, ""]


def leave_out_fields(
    app: Sphinx, what: str, name: str, thing: Any, skip: bool, options: Any
) -> bool | None:
    """The fields of a tuple or a dataclass stand in its signature already."""
    is_method = callable(thing) or isinstance(thing, (property, classmethod))
    return None if is_method or what == "module" else True


def know_the_keys(app: Sphinx, config: Any) -> None:
    text = (BOOK / "references.bib").read_text(encoding="utf-8")
    config.refvlm_keys = frozenset(re.findall(r"^@\w+\{([^,]+),", text, re.MULTILINE))


def setup(app: Sphinx) -> None:
    app.setup_extension("sphinx.ext.autodoc")
    app.add_config_value("refvlm_keys", frozenset(), "")
    app.add_directive("room", Room)
    app.add_directive("rooms", Rooms)
    app.connect("config-inited", know_the_keys)
    app.connect("autodoc-process-docstring", rewrite)
    app.connect("autodoc-skip-member", leave_out_fields)
