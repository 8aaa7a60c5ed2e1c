"""The appendices that are computed: the catalogue, and PyTorch's names beside ours."""

from __future__ import annotations

import csv
import importlib
import inspect
import re
from pathlib import Path

from refvlm import ops

CATALOGUE = Path(__file__).parents[2] / "catalogue.csv"
NAMED_BY_SOURCES = 287


class Markdown(str):
    """A text that Jupyter shows as Markdown; it needs no Jupyter to be made."""

    def _repr_markdown_(self) -> str:
        return str(self)


def catalogue() -> list[dict[str, str]]:
    """The rows of book/catalogue.csv."""
    with open(CATALOGUE, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def table(header: list[str], rows: list[list[str]]) -> Markdown:
    """A table of texts: the first column names the rows, the others hold numbers."""
    rule = ["--", *["--:"] * (len(header) - 1)]
    lines = [header, rule, *rows]
    return Markdown("\n".join(f"| {' | '.join(line)} |" for line in lines))


def resolve(name: str):
    """The function or class behind a dotted name of the catalogue: `ops.softmax`."""
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(f"refvlm.{module}"), attribute)


def counts() -> Markdown:
    """How many of the things that the sources name stand in the catalogue."""
    done = sum(bool(row["id"]) for row in catalogue())
    more = len(catalogue()) - done
    return Markdown(
        f"The five sources name {NAMED_BY_SOURCES} things. **{done} are done** and "
        f"stand here by their numbers; {NAMED_BY_SOURCES - done} are open, or have no "
        f"function of their own. {more} more rows are for what no source names."
    )


def catalogue_table() -> Markdown:
    """Every row that is done: what it is, its functions, its spec and its chapter."""
    lines = ["| | What, and which source names it | Function, and its spec | Chapter |"]
    lines += ["|--:|--|--|--|"]
    for row in catalogue():
        functions = "<br>".join(f"`{name}`" for name in row["functions"].split())
        lines.append(
            f"| {row['id'][2:].lstrip('0')} | {_escaped(row['name'])}<br>"
            f"*{_escaped(row['source'])}* | {functions}<br>*{_escaped(row['tests'])}* "
            f"| {{ref}}`{row['chapter']}` |"
        )
    return _filtered(lines)


def _filtered(lines: list[str]) -> Markdown:
    """A long table, above which the page offers a box to filter it by."""
    return Markdown("\n".join(["```{table}", ":class: filtered", "", *lines, "```"]))


def torch_names() -> list[tuple[str, str, str]]:
    """(PyTorch's name, ours, the file it is in), read off the operators."""
    rows = []
    for name, function in sorted(vars(ops).items()):
        oracle = re.search(
            r"Oracle:\s+(torch\.[\w.]*\w)", inspect.getdoc(function) or ""
        )
        if oracle and inspect.isfunction(function) and not name.endswith("_vjp"):
            file = function.__module__.rpartition(".")[2]
            rows.append((oracle[1], name, f"ops/{file}.py"))
    return sorted(rows)


def torch_names_table() -> Markdown:
    """PyTorch's functions, the operators that stand for them, and where they are."""
    lines = ["| PyTorch | `refvlm.ops` | in |", "|--|--|--|"]
    lines += [
        f"| `{torch}` | `{ours}` | `{file}` |" for torch, ours, file in torch_names()
    ]
    return _filtered(lines)


def _escaped(text):
    return re.sub(r"([\\|<>*_$\[\]])", r"\\\1", text)
