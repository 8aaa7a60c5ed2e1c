"""Exercises, and proofs, on one page do not share an id.

sphinx-exercise gives every exercise the id `exercise-content`, and every solution
`solution-content`; sphinx-proof gives every proof `proof` and `proof-content`. An id
may occur once on a page, so they become classes, and the ids are numbered: Sphinx
wants one for each section.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx

SHARED = {"exercise-content", "solution-content", "proof", "proof-content"}


def share_as_class(app: Sphinx, doctree: nodes.document) -> None:
    for number, element in enumerate(doctree.findall(nodes.Element)):
        shared = SHARED.intersection(element["ids"])
        if shared:
            element["ids"] = [
                f"{id}-{number}" if id in shared else id for id in element["ids"]
            ]
            element["classes"] += sorted(shared.difference(element["classes"]))


def setup(app: Sphinx) -> None:
    app.connect("doctree-read", share_as_class)
