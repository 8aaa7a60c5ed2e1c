"""No page of the book asks anything of another host.

Formulas: MathJax is copied from an installed package (sphinx-mathjax-offline)
as one file that draws with SVG and needs no fonts, so that it also works when
the page is opened from the disk.

Letters: Source Serif and Source Sans are copied in the same way, from
font-source-serif-pro and font-source-sans-pro.

Live code: sphinx-thebe, which the theme loads for buttons that this book does
not have, writes its settings twice (a syntax error in the console) and points at
another host; its scripts are dropped.
"""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

MATHJAX = "mathjax/tex-svg-full.js"
FONTS = {
    "font_source_serif_pro": ("SourceSerifPro", ("Regular", "It", "Semibold")),
    "font_source_sans_pro": ("SourceSansPro", ("Regular", "It", "Semibold")),
}


def folder_of(package: str) -> Path:
    """Where an installed package keeps its files; it is not imported."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ExtensionError(
            f"the book needs the package {package.replace('_', '-')}: "
            "pip install -r requirements.txt"
        )
    return Path(found.submodule_search_locations[0])


def copy_assets(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    mathjax = folder_of("sphinx-mathjax-offline") / "static" / MATHJAX
    copies = {static / MATHJAX: mathjax}
    for package, (family, styles) in FONTS.items():
        for style in styles:
            name = f"{family}-{style}.ttf"
            copies[static / "fonts" / name] = folder_of(package) / "files" / name
    for target, source in copies.items():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def drop_thebe_scripts(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """The scripts in the page's head."""
    context["script_files"] = [
        script
        for script in context.get("script_files", [])
        if "thebe" not in f"{script} {getattr(script, 'attributes', {})}".lower()
    ]


def drop_thebe_nodes(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """The settings that sphinx-thebe writes at the end of each page."""
    for node in list(doctree.findall(nodes.raw)):
        if "thebe-config" in node.astext() or "kernelName =" in node.astext():
            node.parent.remove(node)


def setup(app: Sphinx) -> None:
    app.connect("build-finished", copy_assets)
    app.connect("html-page-context", drop_thebe_scripts, priority=900)
    app.connect("doctree-resolved", drop_thebe_nodes, priority=900)
