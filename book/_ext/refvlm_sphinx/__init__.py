"""The book's own Sphinx extension: what the theme and its parts leave undone.

Each module is one repair, and says what it repairs:
`checks` (which laws mark an exercise), `citations` (labels a reader can speak),
`code_state` (a stale result is never shown), `dark_figures` (figures that can be read
on a dark page), `exercises` (no id twice), `listings` (included code names its file),
`notebooks` (every chapter as a notebook that stands alone), `offline` (no page asks
anything of another host), `page_scripts` (a script only where it is used), `rooms`
(the reference, made from the docstrings), `search_texts` (a search that shows what a
section says, from the disk too).
"""

from __future__ import annotations

from sphinx.application import Sphinx

from . import (
    checks,
    citations,
    code_state,
    dark_figures,
    exercises,
    listings,
    notebooks,
    offline,
    page_scripts,
    rooms,
    search_texts,
)


def setup(app: Sphinx) -> dict[str, bool]:
    for repair in (
        checks,
        citations,
        code_state,
        dark_figures,
        exercises,
        listings,
        notebooks,
        offline,
        page_scripts,
        rooms,
        search_texts,
    ):
        repair.setup(app)
    return {"parallel_read_safe": False, "parallel_write_safe": False}
