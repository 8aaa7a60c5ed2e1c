"""The weights that come along, with what was written down while they learnt.

`weights/NAME/` holds the model, `training.csv` its curve and `scores.json` what it gets
right; the pages read them from there, so that they tell of the model that is shipped.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np

WEIGHTS = Path(__file__).resolve().parents[3] / "weights"


def directory(name: str = "fastvlm-tiny") -> Path:
    """The folder of a model that comes along."""
    path = WEIGHTS / name
    if not path.is_dir():
        raise FileNotFoundError(f"no weights {name!r} in {WEIGHTS}")
    return path


def curve(name: str = "fastvlm-tiny") -> dict[str, np.ndarray]:
    """column -> values of the run's history, the means of 50 steps each; NaN
    where nothing was noted."""
    with open(directory(name) / "training.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        column: np.array([float(row[column] or "nan") for row in rows])
        for column in rows[0]
    }


def scores(name: str = "fastvlm-tiny") -> dict:
    """What `python -m refvlm score weights/NAME --json` counted: right and asked."""
    return json.loads((directory(name) / "scores.json").read_text(encoding="utf-8"))


def limits(name: str = "fastvlm-tiny") -> dict:
    """What `score --limits` counted: in each of five rounds, right and asked."""
    return json.loads((directory(name) / "limits.json").read_text(encoding="utf-8"))
