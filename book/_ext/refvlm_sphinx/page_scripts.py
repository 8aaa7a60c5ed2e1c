"""A script of the book is loaded by the pages that use it, and by no other.

`html_js_files` would put the text of the whole search on every page.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

from .search_texts import SCRIPT


def add_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    if page == "search":
        app.add_js_file(SCRIPT)
        app.add_js_file("book_search.js")
    tables = doctree.findall(nodes.table) if doctree else ()
    if any("filtered" in table["classes"] for table in tables):
        app.add_js_file("filter_table.js")


def setup(app: Sphinx) -> None:
    app.connect("html-page-context", add_scripts)
