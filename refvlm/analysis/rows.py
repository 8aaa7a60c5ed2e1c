"""What a table of a model is made of: a row for each stage, and the rows as text."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple


class Row(NamedTuple):
    """One stage: its name, the shape that it puts out, and what it costs."""

    stage: str
    shape: tuple[int, ...]
    parameters: int
    flops: int


def size_of(shapes: Iterable[tuple[int, ...]]) -> int:
    """How many numbers tensors of these shapes hold together."""
    return sum(map(math.prod, shapes))


def as_text(rows: list[Row]) -> str:
    """The rows in aligned columns, with their total."""
    total = Row(
        "total", (), sum(row.parameters for row in rows), sum(row.flops for row in rows)
    )
    cells = [("stage", "output", "parameters", "GFLOP")]
    for row in (*rows, total):
        shape = " x ".join(map(str, row.shape))
        flops = f"{row.flops / 1e9:,.3f}" if row.flops else ""
        parameters = f"{row.parameters:,}" if row.parameters else ""
        cells.append((row.stage, shape, parameters, flops))
    wide = [max(len(line[column]) for line in cells) for column in range(4)]
    return "\n".join(
        f"{stage:{wide[0]}}  {shape:{wide[1]}}  {parameters:>{wide[2]}}  "
        f"{flops:>{wide[3]}}".rstrip()
        for stage, shape, parameters, flops in cells
    )
