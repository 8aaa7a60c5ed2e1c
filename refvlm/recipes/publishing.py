"""From a finished run to a directory that anyone can load.

    config.json  model.safetensors  tokenizer.json  tokenizer_config.json
    preprocessor_config.json  training.csv

What was needed only in training is left out, and every file is written whole or not at
all.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .. import pretrained
from ..checkpoint import write_text
from ..train.state import State
from .pixels import preprocessor_json
from .seeing import SEEING

CURVE, EVERY = "training.csv", 50


def learnt(state: State) -> dict[str, np.ndarray]:
    """The tensors of a run that belong to its model."""
    return {n: a for n, a in state.tensors.items() if not n.startswith(SEEING)}


def write(
    directory: str | Path,
    tensors: Mapping[str, np.ndarray],
    recipe,
    state: State,
    side: int,
    **documents: Mapping,
) -> None:
    """The model of a run, for pictures of this side, and its curve."""
    preprocessor = preprocessor_json(side)
    documents = {"preprocessor_config": preprocessor, **documents}
    pretrained.save(directory, tensors, recipe.tokenizer, **documents)
    write_curve(Path(directory) / CURVE, state)


def write_curve(path: Path, state: State) -> None:
    """The history as a table, a row for the mean of every `EVERY` steps.

    Where nothing was noted, nothing is written.
    """
    names = sorted({name for row in state.history for name in row})
    lines = io.StringIO()
    table = csv.writer(lines, lineterminator="\n")
    table.writerow(["step", *names])
    for start in range(0, len(state.history), EVERY):
        rows = state.history[start : start + EVERY]
        table.writerow([start + len(rows), *(_mean(rows, name) for name in names)])
    write_text(path, lines.getvalue())


def _mean(rows, name):
    noted = [row[name] for row in rows if name in row]
    return f"{np.mean(noted):.5g}" if noted else ""
