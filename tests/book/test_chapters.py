"""The book as a spec: what every chapter has, and that nothing it names is missing.

Chapters are run by `make book`, where a failing cell fails the build; here they are
only read.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))

ANATOMY = {
    "its prerequisites": r"\{bdg-secondary\}`Prerequisites: .+`",
    "its reading time": r"\{bdg-secondary\}`Reading time: .+`",
    "what the reader will be able to do": r"\{admonition\} After this chapter you can",
    "included code": r"\{literalinclude\} ",
    "a numbered equation": r":label: eq-",
    "a figure with a caption": r"\n  figure:\n",
    "exercises": r"\{exercise(-start)?\}",
    "further reading": r"\n## Further reading",
    "a label": r"\n\(ch-[\w-]+\)=\n# ",
}
INCLUDE = re.compile(
    r"^ *[`:]{3,}\{literalinclude\} +(?P<file>\S+)\n(?P<options>(?: *:[\w-]+:.*\n)*)",
    re.MULTILINE,
)
# A cell's header is kept: its captions and alternative texts are prose.
CODE = re.compile(
    r"^```(?:\{(?:code-cell|math|raw)\}|python)[^\n]*\n(---\n.*?^---\n)?.*?^```$",
    re.MULTILINE | re.DOTALL,
)
OPTION = re.compile(r":(?P<key>[\w-]+): *(?P<value>.*)")


def pages() -> list[Path]:
    """Every page of the table of contents."""
    named = [TOC["root"]]
    for part in TOC["parts"]:
        named += [chapter["file"] for chapter in part["chapters"]]
    return [ROOT / f"{name}.md" for name in named]


def chapters() -> list[Path]:
    """The pages of the numbered parts."""
    parts = [part for part in TOC["parts"] if part.get("numbered")]
    return [ROOT / f"{page['file']}.md" for part in parts for page in part["chapters"]]


def includes(page: Path) -> Iterator[tuple[Path, dict[str, str]]]:
    for match in INCLUDE.finditer(page.read_text(encoding="utf-8")):
        options = dict(OPTION.findall(match["options"]))
        yield (page.parent / match["file"]).resolve(), options


def defined(tree: ast.AST, dotted: str) -> bool:
    """Whether the module defines `name`, or `Class.method`."""
    name, _, rest = dotted.partition(".")
    for node in ast.iter_child_nodes(tree):
        if getattr(node, "name", None) == name:
            return not rest or defined(node, rest)
    return False


def test_every_page_of_the_contents_exists():
    """A chapter that is promised is there."""
    missing = [page.name for page in pages() if not page.is_file()]
    assert missing == []


def test_no_page_is_left_out_of_the_contents():
    """A page that nobody can reach is a page that nobody keeps true."""
    assert {page.name for page in BOOK.glob("*.md")} == {page.name for page in pages()}


def test_every_chapter_has_the_same_anatomy():
    """A reader who knows one chapter knows where to look in all of them."""
    missing = [
        f"{page.name} lacks {part}"
        for page in chapters()
        for part, pattern in ANATOMY.items()
        if not re.search(pattern, page.read_text(encoding="utf-8"))
    ]
    assert missing == []


def test_every_exercise_has_a_solution():
    """An exercise without a solution teaches only those who did not need it."""
    unsolved = []
    for page in chapters():
        text = page.read_text(encoding="utf-8")
        exercises = re.findall(
            r"\{exercise(?:-start)?\}.*\n(?::.*\n)*?:label: (\S+)", text
        )
        solutions = re.findall(r"\{solution(?:-start)?\} (\S+)", text)
        unsolved += [
            f"{page.name}: {label}" for label in set(exercises) ^ set(solutions)
        ]
    assert unsolved == []


def test_included_code_exists_under_the_name_that_the_chapter_uses():
    """Prose and code cannot drift apart: a renamed function breaks its chapter."""
    missing = []
    for page in pages():
        for file, options in includes(page):
            if not file.is_file():
                missing.append(f"{page.name}: {file.name} does not exist")
                continue
            source = file.read_text(encoding="utf-8")
            name = options.get("pyobject")
            if name and not defined(ast.parse(source), name):
                missing.append(f"{page.name}: {file.name} defines no {name}")
            for key in ("start-after", "start-at", "end-before", "end-at"):
                if key in options and options[key] not in source:
                    missing.append(f"{page.name}: {file.name} lacks {options[key]!r}")
    assert missing == []


def test_every_figure_that_a_cell_draws_has_words():
    """A reader who cannot see a figure is told what it shows, not its file name."""
    silent = []
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for header in re.findall(
            r"\{code-cell\}[^\n]*\n---\n(.*?)\n---\n", text, re.DOTALL
        ):
            mystnb = yaml.safe_load(header).get("mystnb", {})
            alt = mystnb.get("image", {}).get("alt", "")
            if "figure" in mystnb and len(alt) < 15:
                silent.append(f"{page.name}: {mystnb['figure'].get('name')}")
    assert silent == []


def test_every_table_that_a_cell_makes_is_read_as_a_table():
    """CommonMark knows no tables: without MyST they would be a paragraph of pipes."""
    for page in pages():
        text = page.read_text(encoding="utf-8")
        for cell in re.findall(r"^```\{code-cell\}(.*?)^```", text, re.DOTALL | re.M):
            if "tables.table(" in cell or "Markdown(" in cell:
                assert "markdown_format: myst" in cell, (page.name, cell[:200])


def test_no_line_of_prose_is_longer_than_100_characters():
    """A short line fits an editor, and a change of one word is a change of one line."""
    wide = []
    for page in BOOK.glob("*.md"):
        prose = CODE.sub(r"\1", page.read_text(encoding="utf-8"))
        wide += [
            f"{page.name}: {line[:60]}"
            for line in prose.splitlines()
            if len(line) > 100 and not line.lstrip().startswith("|")
        ]
    assert wide == []


def test_no_line_of_prose_begins_with_a_percent_sign():
    """To MyST it is a comment, and the sentence ends before it."""
    lost = [
        f"{page.name}: {line[:60]}"
        for page in BOOK.glob("*.md")
        for line in CODE.sub(r"\1", page.read_text(encoding="utf-8")).splitlines()
        if line.lstrip().startswith("%")
    ]
    assert lost == []


def test_no_line_of_code_is_wider_than_its_box():
    """A page shows 88 columns of a listing; further right one has to scroll."""
    wide = []
    for page in BOOK.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        for cell in re.findall(r"^```\{code-cell\}(.*?)^```", text, re.DOTALL | re.M):
            code = re.sub(r"\A[^\n]*\n---\n.*?\n---\n", "", cell, flags=re.DOTALL)
            wide += [f"{page.name}: {x[:60]}" for x in code.splitlines() if len(x) > 88]
    assert wide == []


def test_the_last_and_the_next_chapter_are_the_neighbours():
    """A chapter that is put elsewhere takes such words with it."""
    order = [c["file"] for part in TOC["parts"] for c in part["chapters"]]
    texts = {name: (ROOT / f"{name}.md").read_text(encoding="utf-8") for name in order}
    said = re.compile(
        r"\{ref\}`the\s+(last|next)\s+chapter\s+<([\w-]+)>`", re.IGNORECASE
    )
    wrong, found = [], 0
    for at, name in enumerate(order):
        for which, label in said.findall(texts[name]):
            neighbour = order[at - 1 if which.lower() == "last" else at + 1]
            found += 1
            if f"({label})=" not in texts[neighbour]:
                wrong.append(
                    f"{name}: the {which} chapter <{label}> is not {neighbour}"
                )
    assert wrong == [] and found >= 5
