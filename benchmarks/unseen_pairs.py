"""Unseen pairs: does clip-tiny learn them from hard negatives?

    python -m benchmarks.unseen_pairs FOLDER [--rounds 3] [--only plain] [--record]

It goes on from the published weights for as many steps with hard negatives in its
batches and without, each from three seeds (refvlm/recipes/hard_negatives.py). Then
single objects are named among 48 classes, of pairs that training shows and of pairs
that it holds apart, and captions are found, on fresh scenes of as many seeds as there
are rounds. Nothing is timed. The runs lie in FOLDER and may be interrupted. The whole
takes a few minutes.
"""

from __future__ import annotations

import sys
from time import perf_counter
from typing import NamedTuple

from . import counts, records
from .quantization import add_folder
from .turns import Peer, time_left, versions

STEPS, PEAK = 150, 1e-3
TRAINING_SEEDS = (1, 2, 3)
FIRST_SEED = 31  # of scenes to count on; a round has the next one
PICTURES, RETRIEVALS = 200, 1  # of each split, in a round
LEARNT = ("plain", "batches")  # arms that are compared


class Case(NamedTuple):
    """clip-tiny as it is published, or after some more steps in an arm."""

    model: str
    learning: str | None

    @property
    def name(self):
        """Its name in the record."""
        return f"{self.model}, {self.learning or 'as published'}"


CASES = [Case("clip-tiny", arm) for arm in (None, *LEARNT)]


def measure(options):
    """The record's own part."""
    folder = str(options.folder.resolve()) if options.folder else None
    chosen = [case for case in CASES if options.only in case.name]
    if folder is None and any(case.learning for case in chosen):
        raise records.RefusedError("the runs need a FOLDER")
    worker = Peer("unseen_pairs_worker", options=options)
    measured = versions([worker])
    seeds = [FIRST_SEED + number for number in range(options.rounds)]
    found, start = {}, perf_counter()
    for number, case in enumerate(chosen, 1):
        runs = []
        for seed in TRAINING_SEEDS if case.learning else (None,):
            shares = worker.ask(
                "count", arm=case.learning, seed=seed, folder=folder, seeds=seeds
            )
            runs.append({"seed": seed, "shares": shares})
        found[case.name] = {**case._asdict(), "runs": runs}
        print(*counts.in_words(case.name, found[case.name]), sep="\n")
        print(time_left(start, number, len(chosen)), flush=True)
    worker.close()
    return {
        "name": "unseen-pairs",  # on however many threads: nothing is timed
        "versions": measured,
        "disturbance": None,
        "scenes": {"seeds": seeds, "pictures": PICTURES, "retrievals": RETRIEVALS},
        "learning": {"seeds": list(TRAINING_SEEDS), "steps": STEPS, "peak": PEAK},
        "counts": found,
    }


def names(options):
    """What `--only` chooses from."""
    return [case.name for case in CASES]


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "unseen-pairs",
        measure,
        __doc__,
        names,
        arguments,
        rounds=3,
        more=[add_folder],
        timed=False,
    )


if __name__ == "__main__":
    sys.exit(main())
