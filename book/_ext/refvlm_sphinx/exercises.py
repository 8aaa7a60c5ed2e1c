"""Exercises on one page do not share an id.

sphinx-exercise gives every exercise the id `exercise-content`, and every solution
`solution-content`. An id may occur once on a page, so they become classes, and the
ids are numbered: Sphinx wants one for each section.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx

SHARED = {"exercise-content", "solution-content"}


def share_as_class(app: Sphinx, doctree: nodes.document) -> None:
    for number, section in enumerate(doctree.findall(nodes.section)):
        shared = SHARED.intersection(section["ids"])
        section["ids"] = [
            f"{name}-{number}" if name in shared else name for name in section["ids"]
        ]
        section["classes"] += sorted(shared)


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", share_as_class)
