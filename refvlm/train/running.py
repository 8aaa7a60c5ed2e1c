"""A run in a directory: begun or resumed, reported, saved, and never lost.

    runs/fastvlm-tiny/state.safetensors    all that the next step needs (state.py)
    runs/fastvlm-tiny/history.csv          loss, learning rate, ... of every step

An interruption (Ctrl-C) saves the last whole step; a crash loses the steps since the
last save. Either way the same command goes on where the state ends.
"""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..checkpoint import CheckpointError
from .loop import Recipe, begin, stage_of, total_steps, train
from .state import State, load_state, save_state

STATE, HISTORY = "state.safetensors", "history.csv"
SAVE_EVERY = 500  # steps


class Progress(NamedTuple):
    """How a run stands: means since the last report, and what is left of it."""

    step: int
    total: int
    stage: str
    parts: dict[str, float]
    steps_per_second: float
    tokens_per_second: float
    seconds_left: float

    def __str__(self):
        parts = "  ".join(
            f"{name} {value:.4g}"
            for name, value in self.parts.items()
            if name != "tokens"
        )
        minutes, seconds = divmod(round(self.seconds_left), 60)
        return (
            f"step {self.step}/{self.total}  {self.stage}  {parts}  "
            f"{self.steps_per_second:.1f} steps/s  "
            f"{self.tokens_per_second:,.0f} tokens/s  {minutes}:{seconds:02d} left"
        )


def run(
    recipe: Recipe,
    directory: str | Path,
    report: Callable[[Progress], None] | None = None,
    stop: int | None = None,
    save_every: int = SAVE_EVERY,
    report_every: int = 50,
) -> State:
    """Begin or resume the recipe's run in `directory`; return its last state.

    `stop` ends it early, after so many steps in all. The state is saved every
    `save_every` steps, at the end, and when the run is interrupted.
    """
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / STATE
    state = resume(path, recipe) if path.exists() else begin(recipe)
    saved, started, since = state.step, time.perf_counter(), state.step
    try:
        for state in train(recipe, state, stop):  # noqa: B020
            if report is not None and state.step % report_every == 0:
                now = time.perf_counter()
                report(progress_of(recipe, state, state.step - since, now - started))
                started, since = now, state.step
            if state.step % save_every == 0:
                save(directory, recipe, state)
                saved = state.step
    finally:
        if state.step > saved or not path.exists():
            save(directory, recipe, state)
    return state


def resume(path: Path, recipe: Recipe) -> State:
    """The state in a file, if its weights are those of the recipe as it is now."""
    state = load_state(path, recipe.name)
    fresh = recipe.initial()
    for name in fresh.keys() | state.tensors.keys():
        wanted, found = (np.shape(t.get(name)) for t in (fresh, state.tensors))
        if wanted != found:
            raise CheckpointError(
                f"{path}: {name} has shape {found} and the recipe wants {wanted}: the "
                "run began with another version of the recipe. Give another directory "
                "to start anew"
            )
    return state


def progress_of(recipe, state, steps, seconds) -> Progress:
    """Means over the last `steps` steps, which took so many seconds."""
    rows = state.history[-steps:]
    parts = {
        name: sum(row[name] for row in rows) / len(rows)
        for name in rows[-1]
        if all(name in row for row in rows)
    }
    stage, _ = stage_of(recipe, state.step - 1)
    per_second = steps / seconds
    return Progress(
        state.step,
        total_steps(recipe),
        stage.name,
        parts,
        per_second,
        parts.get("tokens", 0.0) * per_second,
        (total_steps(recipe) - state.step) / per_second,
    )


def save(directory: Path, recipe: Recipe, state: State) -> None:
    """Write the state and its history into the run's directory."""
    save_state(directory / STATE, state, recipe.name)
    names = sorted({name for row in state.history for name in row})
    lines = io.StringIO()
    table = csv.DictWriter(lines, ["step", *names], lineterminator="\n")
    table.writeheader()
    table.writerows(
        {"step": step, **{name: f"{value:.6g}" for name, value in row.items()}}
        for step, row in enumerate(state.history, 1)
    )
    partial = directory / f".{HISTORY}.partial"
    partial.write_text(lines.getvalue(), encoding="utf-8")
    os.replace(partial, directory / HISTORY)
