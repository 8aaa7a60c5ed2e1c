"""Every chapter is also a notebook that stands alone.

The executed notebook holds the chapter's MyST source, which Jupyter shows raw:
directives as code, references as markup, and an included function as the name of
a file. Here it becomes a notebook of plain Markdown: included code is written
out, formulas are numbered, references are words, and a first cell says how to run
it. The theme then offers it among the page's downloads.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
from sphinx.application import Sphinx

from .plain_markdown import to_plain
from .references import References

HOW_TO_RUN = """\
> This notebook is a chapter of the *refvlm* book. To run it, clone the repository,
> and in the clone:
>
> ```
> python3 -m venv .venv && . .venv/bin/activate
> pip install -r requirements.txt -e .
> pip install jupyterlab && jupyter lab
> ```
"""

# What a tag of the page means to Jupyter: hidden, but one click away.
HIDDEN = {
    "hide-input": "source_hidden",
    "remove-input": "source_hidden",
    "remove-cell": "source_hidden",
    "hide-output": "outputs_hidden",
    "remove-output": "outputs_hidden",
}


def plain_notebook(
    notebook: nbformat.NotebookNode, references: References
) -> nbformat.NotebookNode:
    """The executed chapter with its Markdown made plain and its checks folded."""
    cells = [nbformat.v4.new_markdown_cell(HOW_TO_RUN)]
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            text = to_plain(cell.source, references)
            if text:
                cells.append(nbformat.v4.new_markdown_cell(text))
            continue
        tags = cell.metadata.get("tags", [])
        hidden = {HIDDEN[tag]: True for tag in tags if tag in HIDDEN}
        metadata = {"tags": tags} if tags else {}
        if hidden:
            metadata["jupyter"] = hidden
        outputs = [] if "remove-cell" in tags else cell.get("outputs", [])
        cells.append(
            nbformat.v4.new_code_cell(
                cell.source,
                metadata=metadata,
                outputs=outputs,
                execution_count=cell.get("execution_count"),
            )
        )
        figure = cell.metadata.get("mystnb", {}).get("figure", {})
        if caption := figure.get("caption"):
            number = references.numbered(figure.get("name", ""), "Figure %s")
            text = to_plain(caption.strip(), references).replace("\n", " ")
            cells.append(nbformat.v4.new_markdown_cell(f"**{number}.** {text}"))
    for number, cell in enumerate(cells):
        # Ids are random by default; a rebuilt book should be the same book.
        cell["id"] = f"cell-{number}"
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return nbformat.v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def offer_notebook(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Write the notebook of a page that has one, where the theme links to it."""
    if doctree is None or "kernelspec" not in app.env.metadata.get(page, {}):
        return
    executed = Path(app.outdir).parent / "jupyter_execute" / f"{page}.ipynb"
    if not executed.is_file():
        return
    glued = executed.with_suffix(".glue.json")
    values = json.loads(glued.read_text(encoding="utf-8")) if glued.is_file() else {}
    notebook = plain_notebook(
        nbformat.read(executed, as_version=4), References(app, page, values)
    )
    nbformat.validate(notebook)
    target = Path(app.outdir) / "_sources" / f"{page}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, target)
    context["ipynb_source"] = f"{page}.ipynb"


def setup(app: Sphinx) -> None:
    # Before the theme makes its buttons, which is at 501.
    app.connect("html-page-context", offer_notebook, priority=490)
