"""The search knows the sections of the book by their words, from the disk as well.

Sphinx's own search shows where a word stands by fetching the page, which a browser
refuses for files, and prints TeX and code as it finds them. Here the text of each
section is written into one script, without code and with its formulas made plain, and
`book/_static/book_search.js` finds and ranks in that. The names of the reference are
still found in Sphinx's index.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

SCRIPT = "search_texts.js"
NOT_READ = (
    nodes.literal_block,
    nodes.math_block,
    nodes.comment,
    nodes.raw,
    nodes.image,
    nodes.system_message,
    addnodes.index,
    addnodes.toctree,
)
SIGNS = {
    "le": "≤",
    "ge": "≥",
    "times": "×",
    "cdot": "·",
    "odot": "⊙",
    "to": "→",
    "infty": "∞",
    "approx": "≈",
    "in": "∈",
    "sqrt": "√",
    "dots": "…",
    "transpose": "ᵀ",
    **{
        name: name for name in ("softmax", "sigmoid", "log", "exp", "max", "cos", "sin")
    },
}
NAMED = re.compile(r"\\(?:mathrm|text|operatorname|mathcal)\s*\{([^}]*)\}")
LONGEST_FORMULA = 40


def plain_formula(tex: str) -> str:
    """A short formula as a person would type it; a longer one is an ellipsis."""
    text = NAMED.sub(r"\1", tex).replace(r"\mathcal ", "")
    text = re.sub(r"\\([A-Za-z]+)", lambda match: _sign(match[1]), text)
    text = re.sub(r"\\[,;: !]|[{}~]", "", text).strip()
    return "…" if "\\" in text or len(text) > LONGEST_FORMULA else text


def _sign(name: str) -> str:
    """What a TeX command draws: a sign, a Greek letter; else the command itself."""
    if name in SIGNS:
        return SIGNS[name]
    case = "CAPITAL" if name[0].isupper() else "SMALL"
    letter = name.removeprefix("var").upper().replace("LAMBDA", "LAMDA")
    try:
        return unicodedata.lookup(f"GREEK {case} LETTER {letter}")
    except KeyError:
        return f"\\{name}"


def has_heading(node: nodes.Node) -> bool:
    """Whether it is a section of its own; an exercise's is a part of the one around."""
    return isinstance(node, nodes.section) and isinstance(node[0], nodes.title)


def words_of(node: nodes.Node) -> str:
    """The text of a node without what is not read aloud, nor its subsections."""
    if isinstance(node, nodes.Text):
        return node.astext()
    if isinstance(node, nodes.math):
        return plain_formula(node.astext())
    if isinstance(node, NOT_READ) or "source-name" in node["classes"]:
        return ""
    parts = [words_of(child) for child in node.children if not has_heading(child)]
    return "".join(parts) + ("" if isinstance(node, nodes.Inline) else " ")


def sections_of(doctree: nodes.document) -> Iterator[tuple[str, str, str]]:
    """(anchor, heading, text) of every section of a page."""
    for section in doctree.findall(has_heading):
        heading, *rest = section.children
        body = nodes.container("", *(node.deepcopy() for node in rest))
        yield section["ids"][0], _line(words_of(heading)), _line(words_of(body))


def terms_of(doctree: nodes.document) -> Iterator[tuple[list[str], str, str]]:
    """(names, definition, the page that explains it) of every term of a glossary."""
    for item in doctree.findall(nodes.definition_list_item):
        names = [term.astext() for term in item.findall(nodes.term)]
        said = item.next_node(nodes.definition)
        text = _line(words_of(said))
        for link in said.findall(nodes.reference):
            explained = link["refuri"].split("#")[0]
            yield names, text.removesuffix(f" {link.astext()}."), explained


def _line(text: str) -> str:
    return re.sub(r"\s+([.,;:])", r"\1", " ".join(text.split()))


def remember(app: Sphinx, doctree: nodes.document, page: str) -> None:
    """Keep the sections of a page that is being written."""
    if app.builder.format != "html" or "nosearch" in app.env.metadata.get(page, {}):
        return
    known = _known(app)
    known[page] = {
        "title": app.env.titles[page].astext(),
        "sections": list(sections_of(doctree)),
        "terms": list(terms_of(doctree))
        if doctree.next_node(addnodes.glossary)
        else [],
    }


def _known(app: Sphinx) -> dict[str, Any]:
    """What is known of the pages, from earlier builds too."""
    if not hasattr(app, "refvlm_search"):
        file = _store(app)
        known = json.loads(file.read_text("utf-8")) if file.is_file() else {}
        app.refvlm_search = known  # type: ignore[attr-defined]
    return app.refvlm_search  # type: ignore[attr-defined]


def _store(app: Sphinx) -> Path:
    return Path(app.doctreedir) / "search_texts.json"


def write_script(app: Sphinx, exception: Exception | None) -> None:
    if exception is not None or app.builder.format != "html":
        return
    known = {
        page: _known(app)[page]
        for page in sorted(_known(app))
        if page in app.env.found_docs
    }
    _store(app).write_text(json.dumps(known), encoding="utf-8")
    pages = [
        {
            **kept,
            "url": app.builder.get_target_uri(page),
            "chapter": is_chapter(app, page),
        }
        for page, kept in known.items()
    ]
    text = json.dumps(pages, ensure_ascii=False, separators=(",", ":"))
    target = Path(app.outdir) / "_static" / SCRIPT
    target.write_text(f"const BOOK = {text};\n", encoding="utf-8")


def is_chapter(app: Sphinx, page: str) -> bool:
    """The numbered pages are the chapters."""
    return bool(app.env.toc_secnumbers.get(page, {}).get(""))


def setup(app: Sphinx) -> None:
    app.connect("doctree-resolved", remember, priority=950)
    app.connect("build-finished", write_script)
