"""Links, anchors and notebooks of the built book, checked without a browser."""

from __future__ import annotations

import json
from collections import defaultdict
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat

TARGETS = {"a": "href", "img": "src", "script": "src", "link": "href"}


class Page(HTMLParser):
    """What a page points at, and what in it can be pointed at."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(file.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.update(filter(None, (found.get("id"), found.get("name"))))
        target = found.get(TARGETS.get(tag, ""))
        if target and found.get("rel") not in ("canonical", "preconnect"):
            self.links.append(target)


def html_pages(site: Path) -> list[Path]:
    """What a reader can come to; the theme keeps templates of its own in _static."""
    hidden = {"_static", "_sources", "_templates"}
    files = sorted(site.rglob("*.html"))
    return [file for file in files if not hidden & set(file.relative_to(site).parts)]


def link_faults(site: Path) -> dict[str, list[str]]:
    """page -> links of it that lead nowhere inside the book."""
    pages = {file.resolve(): Page(file) for file in html_pages(site)}
    faults: dict[str, list[str]] = defaultdict(list)
    for file, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            path = unquote(parts.path)
            target = (file.parent / path).resolve() if path else file
            if not target.exists():
                faults[file.relative_to(site).as_posix()].append(f"broken link: {link}")
            elif parts.fragment and target in pages:
                known = pages[target].ids
                # The theme uses "#" and "#top" for the top of a page.
                if unquote(parts.fragment) not in known | {"top"}:
                    name = file.relative_to(site).as_posix()
                    faults[name].append(f"broken anchor: {link}")
    return faults


def notebook_faults(site: Path) -> dict[str, list[str]]:
    """Notebooks that Jupyter would refuse, or in which an include was left."""
    faults: dict[str, list[str]] = {}
    for file in (site / "_sources").rglob("*.ipynb"):
        name = file.relative_to(site).as_posix()
        try:
            notebook = nbformat.read(file, as_version=4)
            nbformat.validate(notebook)
        except (json.JSONDecodeError, nbformat.ValidationError) as error:
            faults[name] = [f"not a notebook: {error}"]
            continue
        text = "\n".join(cell.source for cell in notebook.cells)
        if "{literalinclude}" in text:
            faults[name] = ["an included source was not written out"]
    return faults
