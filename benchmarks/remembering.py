"""Remembering: every wiring of an episodic memory learns with a perfect eye.

    python -m benchmarks.remembering FOLDER [--rounds 2] [--only cache] [--record]

Pictures are shown as their words, one after the other, and then taken away; questions
are asked about what they held, and about which was which. Each wiring of
`remembering_cases.py` learns from three seeds, in as many steps of the same episodes,
and is counted on fresh ones, the same for all: by kind of question, with another
episode's memory and with none, of 1 to 64 pictures, of codes that are disturbed. With
them stand the cache that keeps the same codes, and what a guesser reaches.

In FOLDER the runs lie, or will. The whole takes about half an hour on one core. It may
be interrupted: what is there is not done again.
"""

from __future__ import annotations

import sys
from time import perf_counter

from . import counts, records
from .joining import add_folder
from .remembering_cases import (
    EPISODES,
    FIRST_SEED,
    LENGTH,
    PEAKS,
    SEEDS,
    SHOWN,
    STEPS,
    WIRINGS,
)
from .turns import Peer, time_left, versions

TOLD = "content", "order", "order alone", "which", "all", "content of 16"


def measure(options):
    """The record's own part."""
    worker = Peer("remembering_worker", options=options)
    measured = versions([worker])
    folder = str(options.folder.resolve())
    scenes = [FIRST_SEED + number for number in range(options.rounds)]
    chosen = [wiring for wiring in WIRINGS if options.only in wiring]
    found = {
        wiring: {
            "learning": True,
            **worker.ask("describe", wiring=wiring),
            "runs": [],
        }
        for wiring in chosen
    }
    runs, start = (
        [(seed, wiring) for seed in SEEDS for wiring in chosen],
        perf_counter(),
    )
    for number, (seed, wiring) in enumerate(runs, 1):
        asked = {"folder": folder, "wiring": wiring, "seed": seed}
        run = {"seed": seed, **worker.ask("learn", **asked)}
        run["shares"] = worker.ask("count", **asked, seeds=scenes)
        found[wiring]["runs"].append(run)
        left = time_left(start, number, len(runs))
        print(f"{wiring}, seed {seed}: {left}", flush=True)
    for wiring in chosen:
        print(*in_words(wiring, found[wiring]), sep="\n")
    addresses = {
        wiring: worker.ask(
            "show", folder=folder, wiring=wiring, seed=SEEDS[0], scenes_seed=scenes[0]
        )
        for wiring in SHOWN
        if wiring in chosen
    }
    guesses = worker.ask("guess", seed=scenes[-1] + 1)
    worker.close()
    return {
        "name": "remembering",  # on however many threads: nothing is timed
        "versions": measured,
        "disturbance": None,
        "scenes": {"seeds": scenes, "episodes": EPISODES, "pictures": LENGTH},
        "learning": {"seeds": list(SEEDS), "steps": STEPS, "peaks": PEAKS},
        "guesses": guesses,
        "addresses": addresses,
        "counts": found,
    }


def in_words(wiring, case):
    """The lines that are printed of a wiring."""
    seconds = [run["seconds"] for run in case["runs"]]
    yield (
        f"{wiring}: {case['parameters']:,} parameters, {case['kept']:,} numbers kept, "
        f"{min(seconds):.0f} to {max(seconds):.0f} s"
    )
    yield from counts.told(case, TOLD)


def names(options):
    """What `--only` chooses from."""
    return list(WIRINGS)


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "remembering",
        measure,
        __doc__,
        names,
        arguments,
        rounds=2,
        more=[add_folder],
        timed=False,
    )


if __name__ == "__main__":
    sys.exit(main())
