"""The exercises of a chapter, as a program reads them."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from refvlm_sphinx.checks import Check
from refvlm_sphinx.plain_markdown import directives, items

BEFORE = "import math\n\nimport numpy as np\n\nfrom refvlm import ops\n\n"


@dataclass
class Exercise:
    page: str
    label: str
    text: str = ""
    check: Check | None = None
    hints: int = 0
    cells: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        return f"{self.page}: {self.label}"

    @property
    def solution(self) -> str:
        """What a reader would have in `mine.py`: the definitions of the solution."""
        kept: list[ast.stmt] = []
        for statement in ast.parse("\n".join(self.cells)).body:
            if isinstance(
                statement, ast.FunctionDef | ast.Import | ast.ImportFrom
            ) or _is_constant(statement, kept):
                kept.append(statement)
        return BEFORE + "\n\n".join(map(ast.unparse, kept)) + "\n"


def _is_constant(statement: ast.stmt, kept: list[ast.stmt]) -> bool:
    """`SLOPE = math.sqrt(2 / math.pi)`: one name, of numbers and earlier constants."""
    if not (
        isinstance(statement, ast.Assign)
        and len(statement.targets) == 1
        and isinstance(statement.targets[0], ast.Name)
    ):
        return False
    known = {"math"} | {
        target.id for earlier in kept for target in getattr(earlier, "targets", [])
    }
    return known.issuperset(
        node.id for node in ast.walk(statement.value) if isinstance(node, ast.Name)
    )


def exercises(page: Path) -> list[Exercise]:
    """Those of one chapter, in their order, each with the code of its solution."""
    by_label: dict[str, Exercise] = {}
    asked = solved = None
    for directive in directives(page.read_text(encoding="utf-8").splitlines()):
        if directive.name in ("exercise", "exercise-start"):
            label = directive.options["label"]
            text = " ".join(line.strip() for line in directive.body)
            asked = by_label[label] = Exercise(page.name, label, text)
        elif directive.name == "check":
            assert asked and not asked.check, f"{page.name}: a check of no exercise"
            asked.check = Check.read(directive.argument, directive.options.get("laws"))
            asked.hints = len(items(directive))
        elif directive.name in ("solution", "solution-start"):
            solved = by_label[directive.argument]
        elif directive.name == "solution-end":
            solved = None
        elif directive.name == "code-cell" and solved:
            code = [line for line in directive.body if not line.startswith("%")]
            solved.cells.append("\n".join(code))
    return list(by_label.values())
