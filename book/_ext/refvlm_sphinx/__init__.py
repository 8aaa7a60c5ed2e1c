"""The book's own Sphinx extension: what the theme and its parts leave undone.

Each module in `REPAIRS` is one repair, and says more of it. `docstrings`,
`plain_markdown` and `references` serve several.
"""

from __future__ import annotations

from sphinx.application import Sphinx

REPAIRS = {
    "checks": "which laws mark an exercise",
    "citations": "labels that a reader can speak",
    "code_state": "a stale result is never shown",
    "dark_figures": "figures that can be read on a dark page",
    "exercises": "no id twice",
    "listings": "included code names its file",
    "notebooks": "every chapter as a notebook that stands alone",
    "offline": "no page asks anything of another host",
    "page_scripts": "a script only where it is used",
    "rooms": "the reference, made from the docstrings",
    "search_texts": "a search that shows what a section says, from the disk too",
}


def setup(app: Sphinx) -> dict[str, bool]:
    for module in REPAIRS:
        app.setup_extension(f"{__name__}.{module}")
    return {"parallel_read_safe": False, "parallel_write_safe": False}
