"""The directive `check`: which laws mark an exercise, and hints for whoever is stuck.

    :::{check} softmax
    :laws: example law oracle derivative
    - A gentle hint.
    - A plainer one.
    :::

It stands inside an exercise and names the functions that the reader writes. The page
shows the command that marks them, and the hints folded, one after the other. For a
program, `div.check` has the operators and the kinds of laws as data.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from docutils import nodes
from docutils.parsers.rst import Directive, directives
from sphinx.application import Sphinx

KINDS = ("example", "law", "oracle", "derivative", "contract")
DEFAULT = (
    "example",
    "law",
    "oracle",
)  # asked of every file


@dataclass(frozen=True)
class Check:
    """What is asked of a reader's file, and the command that asks it."""

    operators: tuple[str, ...]
    laws: tuple[str, ...]

    @classmethod
    def read(cls, argument: str, laws: str | None) -> Check:
        """From what stands in the chapter."""
        kinds = tuple((laws or " ".join(DEFAULT)).split())
        if unknown := set(kinds).difference(KINDS):
            raise ValueError(
                f"check: {', '.join(sorted(unknown))} is no kind of law: "
                f"{', '.join(KINDS)}"
            )
        return cls(tuple(argument.split()), tuple(k for k in KINDS if k in kinds))

    @property
    def options(self) -> list[str]:
        """Those of the command behind the file."""
        options = ["-k", " or ".join(self.operators)]
        if "contract" in self.laws:
            options.append("--contracts")
        if not set(DEFAULT) <= set(self.laws):
            options += ["-m", " or ".join(self.laws)]
        return options

    @property
    def command(self) -> str:
        """What the reader types beside their file."""
        quoted = [f'"{word}"' if " " in word else word for word in self.options]
        return " ".join(["pytest --impl mine.py", *quoted])


class CheckBox(nodes.General, nodes.Element):
    """The whole box."""


class Hints(nodes.General, nodes.Element):
    """The list of hints, each folded."""


class CheckDirective(Directive):
    required_arguments = 1
    final_argument_whitespace = True
    option_spec: ClassVar = {"laws": directives.unchanged_required}
    has_content = True

    def run(self) -> list[nodes.Node]:
        try:
            check = Check.read(self.arguments[0], self.options.get("laws"))
        except ValueError as error:
            raise self.error(str(error)) from None
        box = CheckBox("", operators=check.operators, laws=check.laws)
        box += nodes.paragraph("", "Check yours:", classes=["check-title"])
        box += nodes.literal_block(check.command, check.command, language="none")
        body = nodes.Element()
        self.state.nested_parse(self.content, self.content_offset, body)
        hints = Hints()
        for item in body.findall(nodes.list_item):
            if isinstance(item.parent.parent, nodes.list_item):
                continue
            hints += item.deepcopy()
        if not hints.children or len(body.children) != 1:
            raise self.error("check: its body is a list of hints, one at least")
        box += hints
        return [box]


def open_box(writer, node: CheckBox) -> None:
    data = {"data-operators": " ".join(node["operators"])}
    data["data-laws"] = " ".join(node["laws"])
    writer.body.append(writer.starttag(node, "div", CLASS="check", **data))


def close_box(writer, node: CheckBox) -> None:
    writer.body.append("</div>\n")


def write_hints(writer, node: Hints) -> None:
    """Each item of the list is a fold; what is in it is written as ever."""
    writer.body.append('<ol class="hints">\n')
    for number, item in enumerate(node.children, 1):
        writer.body.append(f"<li><details><summary>Hint {number}</summary>\n")
        for child in item.children:
            child.walkabout(writer)
        writer.body.append("</details></li>\n")
    writer.body.append("</ol>\n")
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    app.add_node(CheckBox, html=(open_box, close_box))
    app.add_node(Hints, html=(write_hints, None))
    app.add_directive("check", CheckDirective)
