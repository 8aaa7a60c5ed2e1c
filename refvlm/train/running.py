"""A run in a directory: begun or resumed, reported, saved, and never lost.

    runs/fastvlm-tiny/state.safetensors    all that the next step needs (state.py)
    runs/fastvlm-tiny/history.csv          loss, learning rate, ... of every step

An interruption (Ctrl-C) saves the last whole step; a crash loses the steps since the
last save. Either way the same command goes on where the state ends.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ..checkpoint import CheckpointError, write_text
from .loop import Recipe, begin, learnt_by, stage_of, total_steps, train
from .state import State, load_state, save_state, saved_step

STATE, HISTORY = "state.safetensors", "history.csv"
SAVE_EVERY = 500  # steps
COUNTED = "tokens", "pictures"  # of a step, where a recipe notes them: its speed


class Progress(NamedTuple):
    """How a run stands: means since the last report, and what is left of it.

    What matters most stands first, for a terminal that is not wide.
    """

    step: int
    total: int
    stage: str
    parts: dict[str, float]
    steps_per_second: float
    seconds_left: float

    def __str__(self):
        noted = {n: v for n, v in self.parts.items() if n not in ("loss", *COUNTED)}
        speeds = (
            f"{self.parts[name] * self.steps_per_second:,.0f} {name}/s"
            for name in COUNTED
            if name in self.parts
        )
        return "  ".join(
            [
                f"step {self.step}/{self.total}",
                self.stage,
                f"loss {self.parts['loss']:.4g}",
                f"{in_words(self.seconds_left)} left",
                *list(speeds)[:1],
                f"{self.steps_per_second:.1f} steps/s",
                *(f"{name} {value:.4g}" for name, value in noted.items()),
            ]
        )


def in_words(seconds: float) -> str:
    """A time in its two largest units.

    >>> in_words(14356), in_words(61), in_words(9)
    ('3 h 59 min', '1 min 1 s', '9 s')
    """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def run(
    recipe: Recipe,
    directory: str | Path,
    report: Callable[[Progress], None] | None = None,
    stop: int | None = None,
    save_every: int = SAVE_EVERY,
    report_every: int = 50,
    patience: float = math.inf,
) -> State:
    """Begin or resume the recipe's run in `directory`; return its last state.

    `stop` ends it early, after so many steps in all. The state is saved every
    `save_every` steps, at the end, and when the run is interrupted. A report comes
    every `report_every` steps, and where those take long, after `patience` seconds.
    """
    directory = Path(directory)
    make_directory(directory)
    path = directory / STATE
    is_new = not path.exists()
    if is_new and (directory / HISTORY).exists():
        raise CheckpointError(
            f"{directory} holds a {HISTORY} and no run that it would be of: give "
            "another folder"
        )
    state = begin(recipe) if is_new else resume(path, recipe)
    saved = None if is_new else state.step
    started, since = time.perf_counter(), state.step
    try:
        for state in train(recipe, state, stop):  # noqa: B020
            now = time.perf_counter()
            is_due = state.step % report_every == 0 or now - started > patience
            if report is not None and is_due:
                report(progress_of(recipe, state, state.step - since, now - started))
                started, since = now, state.step
            if state.step % save_every == 0:
                save(directory, recipe, state, saved)
                saved = state.step
    finally:
        if state.step != saved:
            save(directory, recipe, state, saved)
    return state


def make_directory(directory: Path) -> None:
    """The run's directory, made if it is not there."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise CheckpointError(
            f"{directory} cannot hold a run ({problem.strerror}): give another folder"
        ) from None


def resume(path: Path, recipe: Recipe) -> State:
    """The state in a file, if its weights are those of the recipe as it is now."""
    state, total = load_state(path, recipe.name), total_steps(recipe)
    if state.step > total:
        raise _another(path, f"it has {state.step} steps and the recipe {total}")
    _compare(path, state.tensors, recipe.initial())
    if state.step < total:
        stage, within = stage_of(recipe, state.step)
        if within:  # a stage begins with moments of its own
            learnt = {
                name: state.tensors[name] for name in learnt_by(stage, state.tensors)
            }
            _compare(path, state.moments, recipe.optimizer.init(learnt))
    return state


def _compare(path, found, wanted):
    """The same names, and under each an array of the same shape and dtype."""
    for name in found.keys() | wanted.keys():
        if name not in found or name not in wanted:
            raise _another(path, f"{name} is in only one of them")
        ours, theirs = np.asarray(found[name]), np.asarray(wanted[name])
        if (ours.shape, ours.dtype) != (theirs.shape, theirs.dtype):
            raise _another(
                path,
                f"{name} is {ours.dtype} of shape {ours.shape} and should be "
                f"{theirs.dtype} of shape {theirs.shape}",
            )


def _another(path, why):
    return CheckpointError(
        f"{path} does not fit the recipe as it is now: {why}. Give another directory "
        "to start anew"
    )


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
        (total_steps(recipe) - state.step) / per_second,
    )


def save(directory: Path, recipe: Recipe, state: State, before: int | None) -> None:
    """Write the state and its history into the run's directory, where the state of step
    `before` is, or none: what another run has saved meanwhile is not overwritten."""
    if saved_step(directory / STATE, recipe.name) != before:
        raise CheckpointError(
            f"{directory} was written to by another run meanwhile: give each its own"
        )
    save_state(directory / STATE, state, recipe.name)
    names = sorted({name for row in state.history for name in row})
    lines = io.StringIO()
    table = csv.DictWriter(lines, ["step", *names], lineterminator="\n")
    table.writeheader()
    table.writerows(
        {"step": step, **{name: f"{value:.6g}" for name, value in row.items()}}
        for step, row in enumerate(state.history, 1)
    )
    write_text(directory / HISTORY, lines.getvalue())
