"""Citations read as a person says them: [Cortes], [Vaswani 2017].

The label is the entry's own key in `book/references.bib`, so the tag in a
docstring, the tag in a chapter and the line in the bibliography are one word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from pybtex.database import Entry
from pybtex.plugin import register_plugin
from pybtex.style.formatting.unsrt import Style as UnsortedStyle
from pybtex.style.labels import BaseLabelStyle
from pybtex.style.sorting.author_year_title import SortingStyle
from sphinx.application import Sphinx


def spoken_label(key: str) -> str:
    """`Vaswani2017` becomes `Vaswani 2017`; `MicroVLM-V` stays as it is."""
    return re.sub(r"(?<=[A-Za-z])(?=\d{4}$)", " ", key.strip())


class KeyLabels(BaseLabelStyle):
    """The label of an entry is its key, as it is spoken."""

    def format_labels(self, sorted_entries: Iterable[Entry]) -> Iterator[str]:
        for entry in sorted_entries:
            yield spoken_label(entry.key)


class RefvlmStyle(UnsortedStyle):
    """Plain entries, sorted by author, labelled by their keys."""

    default_label_style = KeyLabels
    default_sorting_style = SortingStyle


def setup(app: Sphinx) -> None:
    register_plugin("pybtex.style.formatting", "refvlm", RefvlmStyle)
