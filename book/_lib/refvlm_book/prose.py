"""The sentences of this book, for chapters that need a text of their own."""

from __future__ import annotations

import re
from pathlib import Path

BOOK = Path(__file__).resolve().parents[2]
HEADER = re.compile(r"\A---\n.*?^---\n", re.DOTALL | re.MULTILINE)
FENCED = re.compile(r"^(`{3,}|:{3,}).*?^\1[`:]*$", re.DOTALL | re.MULTILINE)
MARKUP = re.compile(
    r"\{[\w:-]+\}`[^`]*`|\$[^$]*\$|`[^`]*`|\([\w-]+\)=|https?://\S+|[*#]"
)


def sentences(page: str) -> list[str]:
    """The lines of a chapter that are prose, without code, formulas and markup."""
    whole = (BOOK / f"{page}.md").read_text(encoding="utf-8")
    plain = MARKUP.sub("", FENCED.sub("", HEADER.sub("", whole)))
    lines = (line.strip(" -|") for line in plain.splitlines())
    return [line for line in lines if len(line) > 20]
