"""The state of a run: all that the next step needs, in one file.

Weights, the optimiser's moments, and the history of the loss lie in one safetensors
file, written whole or not at all. Nothing else is remembered between two steps, so the
file of step n continues bit for bit as the run itself would have.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .. import checkpoint

TENSORS, MOMENTS, RECIPE = "tensors.", "moments.", "recipe."
MOST_STEPS = 10**8  # a number beyond is no number of steps
HISTORY, NOTED = "history.", "noted."  # values by name, and the steps that have them


@dataclass(frozen=True)
class State:
    """After `step` steps: the weights, the optimiser's moments, and for each step so
    far the loss and whatever else was noted."""

    step: int
    tensors: dict[str, np.ndarray]
    moments: dict[str, np.ndarray]
    history: list[dict[str, float]]


def save_state(path: str | Path, state: State, recipe: str) -> None:
    """Write the state of a run by that recipe to a file: whole, or not at all."""
    arrays = {
        RECIPE + recipe: np.array(state.step),
        **{TENSORS + name: array for name, array in state.tensors.items()},
        **{MOMENTS + name: np.asarray(a) for name, a in state.moments.items()},
    }
    for name in sorted({name for row in state.history for name in row}):
        steps = [step for step, row in enumerate(state.history) if name in row]
        arrays[NOTED + name] = np.array(steps)
        arrays[HISTORY + name] = np.array([state.history[step][name] for step in steps])
    checkpoint.save(path, arrays)


def load_state(path: str | Path, recipe: str) -> State:
    """The state that `save_state` wrote; the state of another recipe is refused."""
    stored = _stored(path)
    step = _step(stored, path, recipe)
    tensors, moments, history, noted = (
        {name: np.array(stored[prefix + name]) for name in stored.scope(prefix[:-1])}
        for prefix in (TENSORS, MOMENTS, HISTORY, NOTED)
    )
    rows: list[dict[str, float]] = [{} for _ in range(step)]
    try:
        for name, values in history.items():
            for at, value in zip(noted[name].tolist(), values.tolist(), strict=True):
                rows[at][name] = value
    except (LookupError, TypeError, ValueError):
        raise _damaged(path) from None
    return State(step, tensors, moments, rows)


def saved_step(path: str | Path, recipe: str) -> int | None:
    """The step of the state in a file; None where there is no file."""
    if not Path(path).exists():
        return None
    return _step(_stored(path), path, recipe)


def _stored(path):
    try:
        return checkpoint.load(path, dtype=None)
    except checkpoint.DamagedFileError:  # nobody can download it again
        raise _damaged(path) from None


def _step(stored, path, recipe):
    if RECIPE + recipe not in stored:
        raise checkpoint.CheckpointError(
            f"{path} is no state of a {recipe} run: give another directory to start "
            "anew, or the recipe that it belongs to"
        )
    step = np.asarray(stored[RECIPE + recipe])
    if step.shape != () or step.dtype.kind != "i" or not 0 <= step < MOST_STEPS:
        raise _damaged(path)
    return int(step)


def _damaged(path):
    return checkpoint.CheckpointError(
        f"{path} is damaged: give another directory to start anew"
    )
