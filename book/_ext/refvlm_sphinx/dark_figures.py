"""A figure that a cell draws is shown in two copies: one for light pages, one for dark.

Both are transparent. The dark one is the same drawing in other colours
(`refvlm_book.colors`), so that its letters can be read and its photographs are left
alone. The theme shows the copy that suits the page and hides the other, from screen
readers too. Where there is room, a figure's 12 points are as large as the text.
"""

from __future__ import annotations

import re
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx

from refvlm_book.colors import in_the_dark

WIDTH = re.compile(r'<svg [^>]*?width="([\d.]+)pt"', re.DOTALL)
PIXELS_A_POINT = 1.5  # 12 points are the 18 pixels of the text


def add_dark_copies(app: Sphinx, doctree: nodes.document) -> None:
    for image in list(doctree.findall(nodes.image)):
        file = Path(app.srcdir, image["uri"].lstrip("/"))
        if file.suffix != ".svg" or not image["uri"].startswith("/"):
            continue
        copy = file.with_name(f"{file.stem}-dark.svg")
        drawing = file.read_text(encoding="utf-8")
        copy.write_text(in_the_dark(drawing), encoding="utf-8")
        if width := WIDTH.search(drawing):
            image["width"] = f"{float(width[1]) * PIXELS_A_POINT:.0f}px"
        dark = image.deepcopy()
        dark["uri"] = image["uri"].replace(file.name, copy.name)
        dark["classes"] = [*image["classes"], "only-dark"]
        image["classes"] = [*image["classes"], "only-light"]
        image.parent.insert(image.parent.index(image) + 1, dark)


def setup(app: Sphinx) -> None:
    # Before Sphinx collects the images of the page, which is at 500.
    app.connect("doctree-read", add_dark_copies, priority=400)
