"""What a role of the page stands for, as words: numbers, titles, values, code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.directives.code import LiteralIncludeReader

from .citations import spoken_label

WORDS_AND_TARGET = re.compile(r"^(.*?)\s*<([^<>]+)>$", re.DOTALL)


class References:
    """Looks things up for one page, once the whole book has been read."""

    def __init__(self, app: Sphinx, page: str, glued: dict[str, Any]) -> None:
        self.app = app
        self.env = app.env
        self.page = page
        self.glued = glued

    def formulas(self, text: str) -> str:
        """The book's own TeX macros, written out: Jupyter does not know them."""
        macros = self.app.config.mathjax3_config["tex"]["macros"]
        for name, meaning in macros.items():
            text = re.sub(rf"\\{name}(?![A-Za-z])", lambda _, tex=meaning: tex, text)
        return text

    def role(self, name: str, content: str) -> str:
        """The plain Markdown of one role, `{name}`content``."""
        match = WORDS_AND_TARGET.match(content)
        words, target = match.groups() if match else ("", content)
        if name == "math":
            return f"${content}$"
        if name.startswith("glue"):
            return self.glue(content)
        if name.startswith("cite"):
            return "[" + "; ".join(map(spoken_label, content.split(","))) + "]"
        if name == "eq":
            return self.equation(target)
        if name == "numref":
            return self.numbered(target, words)
        if name in ("ref", "prf:ref"):
            return words or self.title(target)
        if name == "doc":
            return words or self.document_title(target)
        if name.startswith("bdg"):
            return f"*{content}* "
        return words or content

    def title(self, label: str) -> str:
        known = self.env.get_domain("std").labels.get(label.lower())
        return known[2] if known and known[2] else label

    def document_title(self, target: str) -> str:
        name, _ = self.env.relfn2path(target, self.page)
        known = self.env.titles.get(name.removesuffix(".md"))
        return known.astext() if known else target

    def equation(self, label: str) -> str:
        return f"({self.equation_number(label) or label})"

    def equation_number(self, label: str) -> str:
        domain = self.env.get_domain("math")
        page, count = domain.equations.get(label, (None, None))
        if page is None:
            return ""
        numbers = self.env.toc_fignumbers.get(page, {}).get("displaymath", {})
        parts = numbers.get(f"equation-{label}")
        return ".".join(map(str, parts)) if parts else str(count)

    def numbered(self, label: str, words: str) -> str:
        page, anchor, *_ = self.env.get_domain("std").anonlabels.get(label, ("", ""))
        for kind, numbers in self.env.toc_fignumbers.get(page, {}).items():
            if anchor in numbers:
                pattern = words or self.app.config.numfig_format.get(kind, "%s")
                number = ".".join(map(str, numbers[anchor]))
                return pattern.replace("%s", number).replace("{number}", number)
        return self.title(label)

    def glue(self, content: str) -> str:
        name, _, number_format = content.partition(":")
        data = self.glued.get(name, {}).get("data", {})
        text = str(data.get("text/plain", name)).strip("'\"")
        try:
            return format(float(text), number_format) if number_format else text
        except ValueError:
            return text

    def included(self, target: str, options: dict[str, Any]) -> tuple[str, str]:
        """The file's name from the root, and the text that the page includes."""
        _, file = self.env.relfn2path(target, self.page)
        flags = {"dedent": None, **options} if "dedent" in options else options
        reader = LiteralIncludeReader(file, dict(flags), self.app.config)
        text, _ = reader.read()
        root = Path(self.app.srcdir).resolve()
        return Path(file).resolve().relative_to(root).as_posix(), text.rstrip("\n")
