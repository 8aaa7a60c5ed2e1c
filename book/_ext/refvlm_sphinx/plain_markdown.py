"""MyST Markdown made plain, so that Jupyter shows it as a reader expects.

A directive is a fence whose first line is `{name} argument`, then `:key: value`
options or a `---` block of them, then its body. Each is rewritten by one small
function; one that is not known gives way to its body.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import yaml

from .checks import Check
from .references import References

FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|:{3,}|~{3,})(?P<info>.*)$")
DIRECTIVE = re.compile(r"^\{(?P<name>[\w:+-]+)\}\s*(?P<argument>.*)$")
OPTION = re.compile(r"^:(?P<key>[\w-]+):\s*(?P<value>.*)$")
ROLE = re.compile(r"(?<![`\\])\{(?P<name>[\w:-]+)\}`(?P<content>[^`]+)`")
TARGET = re.compile(r"^\([\w:.-]+\)=\s*$")
LABELED_DOLLARS = re.compile(r"^\$\$\s*\((?P<label>[\w:.-]+)\)\s*$")

DROPPED = {"bibliography", "contents", "solution-end", "tableofcontents", "index"}
CODE = {"code-cell", "code-block", "code", "math", "raw"}  # encloses no directive
TITLES = {
    "note": "Note",
    "tip": "Tip",
    "hint": "Hint",
    "important": "Important",
    "warning": "Warning",
    "seealso": "See also",
}


@dataclass
class Directive:
    name: str
    argument: str
    options: dict[str, str] = field(default_factory=dict)
    body: list[str] = field(default_factory=list)


def to_plain(source: str, references: References) -> str:
    """The whole text of one Markdown cell."""
    text = "\n".join(_lines(source.splitlines(), references))
    return references.formulas(text).strip("\n")


def _lines(lines: list[str], references: References) -> list[str]:
    plain: list[str] = []
    position = 0
    while position < len(lines):
        line = lines[position]
        fence = FENCE.match(line)
        if fence:
            end = _closing(lines, position, fence)
            inside = lines[position + 1 : end]
            plain += _fence(fence, inside, lines[position : end + 1], references)
            position = end + 1
            continue
        if match := LABELED_DOLLARS.match(line):
            number = references.equation_number(match["label"])
            plain += [f"\\tag{{{number}}}"] if number else []
            line = "$$"
        if not TARGET.match(line):
            plain.append(_roles(line, references))
        position += 1
    return plain


def _closing(lines: list[str], start: int, fence: re.Match[str]) -> int:
    """The line that closes the fence: its own marks alone, at least as many."""
    mark, least = fence["fence"][0], len(fence["fence"])
    for position in range(start + 1, len(lines)):
        text = lines[position].strip()
        if len(text) >= least and set(text) == {mark}:
            return position
    return len(lines)


def _directive(fence: re.Match[str], inside: list[str]) -> Directive | None:
    """What the fence says, or None where it is ordinary code."""
    opening = DIRECTIVE.match(fence["info"].strip())
    if not opening:
        return None
    return Directive(opening["name"], opening["argument"], *_options(inside))


def directives(lines: list[str]) -> Iterator[Directive]:
    """Every directive of a chapter in its order, and after each what it encloses."""
    position = 0
    while position < len(lines):
        if fence := FENCE.match(lines[position]):
            end = _closing(lines, position, fence)
            directive = _directive(fence, lines[position + 1 : end])
            position = end
            if directive is not None:
                yield directive
                if directive.name not in CODE:
                    yield from directives(directive.body)
        position += 1


def _fence(
    fence: re.Match[str], inside: list[str], whole: list[str], references: References
) -> list[str]:
    directive = _directive(fence, inside)
    if directive is None:
        return whole
    if directive.name in DROPPED:
        return []
    rewrite = REWRITES.get(directive.name)
    if rewrite is None and directive.name.startswith("prf:"):
        rewrite = _statement
    if rewrite is None:
        return _lines(directive.body, references)
    indent = fence["indent"]
    return [indent + line for line in rewrite(directive, references)]


def _options(inside: list[str]) -> tuple[dict[str, str], list[str]]:
    """Options, and the body that follows them."""
    if inside and inside[0].strip() == "---":
        end = inside.index("---", 1)
        block = yaml.safe_load("\n".join(inside[1:end])) or {}
        return {key: str(value) for key, value in block.items()}, inside[end + 1 :]
    options = {}
    position = 0
    while position < len(inside) and (match := OPTION.match(inside[position].strip())):
        options[match["key"]] = match["value"].strip()
        position += 1
    return options, inside[position:]


def _roles(line: str, references: References) -> str:
    return ROLE.sub(lambda m: references.role(m["name"], m["content"]), line)


def _included_code(directive: Directive, references: References) -> list[str]:
    file, text = references.included(directive.argument, directive.options)
    language = directive.options.get("language", "python")
    return [f"*From `{file}`:*", "", f"```{language}", *text.split("\n"), "```"]


def _display(directive: Directive, references: References) -> list[str]:
    lines = [line for line in directive.body if line.strip()]
    number = references.equation_number(directive.options.get("label", ""))
    tag = [f"\\tag{{{number}}}"] if number else []
    return ["$$", *lines, *tag, "$$"]


def _admonition(directive: Directive, references: References) -> list[str]:
    title = TITLES.get(directive.name)
    body = list(directive.body)
    if title is None:
        title = directive.argument
    elif directive.argument:
        body = [directive.argument, *body]
    inside = _lines(["**" + _roles(title, references) + "**", "", *body], references)
    return [f"> {line}".rstrip() for line in inside]


def _statement(directive: Directive, references: References) -> list[str]:
    """Exercises, theorems, proofs: a bold heading, then what they say."""
    kind = directive.name.removeprefix("prf:").removesuffix("-start").capitalize()
    title = f" ({directive.argument})" if directive.argument else ""
    return [f"**{kind}{title}.**", "", *_lines(directive.body, references)]


def _solution(directive: Directive, references: References) -> list[str]:
    return ["**Solution.**", "", *_lines(directive.body, references)]


def _check(directive: Directive, references: References) -> list[str]:
    """The command that marks the exercise, and its hints, each in a fold."""
    check = Check.read(directive.argument, directive.options.get("laws"))
    plain = ["**Check yours:**", "", "```", check.command, "```"]
    for number, hint in enumerate(items(directive), 1):
        summary = f"<details><summary>Hint {number}</summary>"
        plain += ["", summary, "", *_lines(hint, references), "", "</details>"]
    return ["", *plain, ""]


def items(directive: Directive) -> list[list[str]]:
    """The items of its list, without their marks and indentation: a check's hints."""
    lists: list[list[str]] = []
    for line in directive.body:
        if line.startswith("- "):
            lists.append([line[2:]])
        elif lists:
            lists[-1].append(line.removeprefix("  "))
    return ["\n".join(lines).strip().split("\n") for lines in lists]


def _code_block(directive: Directive, references: References) -> list[str]:
    return [f"```{directive.argument}", *directive.body, "```"]


def _captioned(directive: Directive, references: References) -> list[str]:
    caption = [f"*{_roles(directive.argument, references)}*", ""]
    rows = TABLES.get(directive.name, lambda directive: [])(directive)
    if not rows:
        return caption + _lines(directive.body, references)
    head, *rest = [f"| {' | '.join(row)} |" for row in rows]
    rule = "|" + "---|" * len(rows[0])
    return caption + _lines([head, rule, *rest], references)


def _list_rows(directive: Directive) -> list[list[str]]:
    """`* - first` begins a row, `  - next` goes on with it."""
    rows: list[list[str]] = []
    for line in directive.body:
        if match := re.match(r"^\* +- ?(.*)$", line):
            rows.append([match[1]])
        elif match := re.match(r"^ +- ?(.*)$", line):
            rows[-1].append(match[1])
        elif line.strip() and rows:
            rows[-1][-1] += " " + line.strip()
    return rows


def _comma_rows(directive: Directive) -> list[list[str]]:
    head = [directive.options["header"]] if "header" in directive.options else []
    body = [line for line in directive.body if line.strip()]
    return list(csv.reader(head + body, skipinitialspace=True))


TABLES = {"list-table": _list_rows, "csv-table": _comma_rows}


def _image(directive: Directive, references: References) -> list[str]:
    alt = directive.options.get("alt", "a picture")
    return [f"*(On the page: {alt})*", "", *_lines(directive.body, references)]


REWRITES: dict[str, Callable[[Directive, References], list[str]]] = {
    "literalinclude": _included_code,
    "math": _display,
    "admonition": _admonition,
    "dropdown": _admonition,
    **dict.fromkeys(TITLES, _admonition),
    "exercise": _statement,
    "exercise-start": _statement,
    "check": _check,
    "solution": _solution,
    "solution-start": _solution,
    "code-block": _code_block,
    "code": _code_block,
    "table": _captioned,
    "list-table": _captioned,
    "csv-table": _captioned,
    "figure": _image,
    "image": _image,
}
