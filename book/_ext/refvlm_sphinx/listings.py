"""Code that is included from the package says which file it comes from.

So a reader can tell the package's own source from a cell that the page runs, and
knows where to open it.
"""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx


def name_the_source(app: Sphinx, doctree: nodes.document) -> None:
    """A line with the file's name goes before each included listing."""
    root = Path(app.srcdir).resolve()
    for listing in list(doctree.findall(nodes.literal_block)):
        source = listing.get("source")
        if not source or not Path(source).is_absolute():
            continue
        file = Path(source).resolve()
        if not file.is_relative_to(root) or file.suffix == ".md":
            continue
        name = file.relative_to(root).as_posix()
        line = nodes.paragraph("", "", nodes.literal("", name))
        label = nodes.container("", line, classes=["source-name"])
        position = listing.parent.index(listing)
        listing.parent.insert(position, label)
        listing["classes"].append("from-package")


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", name_the_source)
