r"""Docstrings are read in the terminal, so they are light Markdown; Sphinx wants RST.

A paragraph keeps its words: `code` and $formulas$ become roles, a known [Key] becomes a
citation, and what RST would take for its own markup is escaped. A `Source:` and an
`Oracle:` become fields. Indented lines are shown as they stand.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

SPAN = re.compile(
    r"``(?P<literal>.+?)``|`(?P<code>[^`]+)`"
    r"|\$(?P<dollars>[^$]+)\$|\\\((?P<parens>.+?)\\\)"
    r"|\[(?P<key>[A-Za-z][\w-]*)\]",
    re.DOTALL,
)
ITEM = re.compile(r"[-*] ")
# Words alone: `*args, *rest` and 2*a*b are no emphasis.
EMPHASIS = re.compile(r"((?<![\w*])\*[A-Za-z](?:[A-Za-z ,'-]*[A-Za-z])?\*(?![\w*]))")
FIELD = re.compile(r"(?:^|(?<=[\s.]))(Source|Oracle): ")


def to_rst(lines: list[str], keys: Collection[str] = ()) -> list[str]:
    """A docstring, whose common indentation is gone, as the lines of an RST text."""
    rst: list[str] = []
    for block in _blocks(lines):
        if block[0].startswith(">>>"):
            rst += block
        elif block[0].startswith("  "):
            rst += ["::", "", *[f"    {line}".rstrip() for line in block]]
        elif ITEM.match(block[0]):
            for item in _items(block):
                rst.append(f"- {_prose(item[2:], keys)}")
        elif FIELD.search(text := " ".join(block)):
            before, *said = FIELD.split(text)
            rst += [_prose(before.strip(), keys), ""] if before.strip() else []
            for name, text in zip(said[::2], said[1::2]):
                rst.append(f":{name}: {_prose(text.strip(), keys)}")
        else:
            rst.append(_prose(text, keys))
        rst.append("")
    return rst


def _blocks(lines: list[str]) -> Iterator[list[str]]:
    """What stands between blank lines; a drawing keeps the blank lines inside it."""
    block: list[str] = []
    for line in [*lines, ""]:
        if line.strip():
            if block and block[-1] == "" and not line.startswith("  "):
                yield block[:-1]
                block = []
            block.append(line.rstrip())
        elif block and block[0].startswith("  "):
            block += [""] if block[-1] else []
        elif block:
            yield block
            block = []
    if block:
        yield block[:-1] if block[-1] == "" else block


def _items(block: list[str]) -> list[str]:
    """The items of a list, each on one line."""
    items: list[str] = []
    for line in block:
        if ITEM.match(line):
            items.append(line)
        else:
            items[-1] += " " + line.strip()
    return items


def _prose(text: str, keys: Collection[str]) -> str:
    pieces, end = [], 0
    for span in SPAN.finditer(text):
        if role := _role(span, keys):
            before, after = text[: span.start()], text[span.end() :]
            pieces += [_escaped(text[end : span.start()]), _joined(before, role, after)]
            end = span.end()
    return "".join([*pieces, _escaped(text[end:])])


def _role(span: re.Match[str], keys: Collection[str]) -> str:
    """The RST of one span; nothing for brackets that name no source."""
    if formula := span["dollars"] or span["parens"]:
        return f":math:`{formula.strip()}`"
    if code := span["literal"] or span["code"]:
        return f"``{code}``"
    return f":cite:`{span['key']}`" if span["key"] in keys else ""


def _joined(before: str, role: str, after: str) -> str:
    """RST reads a role only where a word ends, which a backslash and a space say."""
    left = "\\ " if before and not before[-1].isspace() else ""
    return left + role + ("\\ " if after and not after[0].isspace() else "")


def _escaped(text: str) -> str:
    """What RST would read as markup, escaped; *words* mean the same to both."""
    parts = EMPHASIS.split(text)
    for place in range(0, len(parts), 2):
        parts[place] = re.sub(r"([\\*|`_])", r"\\\1", parts[place])
    return "".join(parts)
