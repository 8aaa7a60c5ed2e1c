"""Runs of training that a record counts: each learns once, and is counted once.

What is in a folder is not done again: a run that was interrupted goes on, and what was
counted of it is read.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from refvlm.checkpoint import write_text
from refvlm.train import running
from refvlm.train.state import saved_step


def learnt(recipe, place: Path, save_every: int):
    """(history, seconds of processor time, in however many pieces) of a run that lies
    in `place`, or will."""
    spent_in, start = place / "seconds.json", time.process_time()
    begun = saved_step(place / running.STATE, recipe.name) or 0
    state = running.run(recipe, place, save_every=save_every)
    spent = json.loads(spent_in.read_text()) if spent_in.exists() else 0.0
    if state.step > begun:  # else there was nothing left to do
        spent += time.process_time() - start
        write_text(spent_in, json.dumps(spent))
    return state.history, spent


def means(history, name: str, together: int, digits: int = 5) -> list[float]:
    """The curve of what a history notes by a name, in means of some steps.

    >>> means([{"loss": 1.0}, {"loss": 2.0}, {"loss": 5.0}], "loss", 2)
    [1.5, 5.0]
    """
    noted = [row[name] for row in history]
    return [
        round(statistics.fmean(noted[at : at + together]), digits)
        for at in range(0, len(noted), together)
    ]


def kept(path: Path, count: Callable):
    """What a file says, or else what `count()` gives, which it says from now on."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json.dumps(count()))
    return json.loads(path.read_text(encoding="utf-8"))
