"""Fewer bits: what each scheme costs the trained models, and what learning mends.

    python -m benchmarks.quantization [FOLDER] [--rounds 5] [--only clip] [--record]

fastvlm-tiny and clip-tiny with their linear layers in every scheme: captions that are
true in every fact and questions answered, objects named and captions found, on fresh
scenes, the same for all, of as many seeds as there are rounds; bytes of the file, bits
a weight, and the error by layer. Nothing is timed.

With a FOLDER also what some hundred more steps do, which learn to be rounded, and as
many that do not, each from three seeds: there the runs lie, or will, and what has been
counted. The whole takes about an hour on one core, and may be interrupted.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

from . import counts, records
from .quantization_cases import FIRST_SEED, LEARNING, MODELS, TRAINING_SEEDS, cases
from .turns import Peer, time_left, versions


def measure(options):
    """The record's own part."""
    folder = str(options.folder.resolve()) if options.folder else None
    worker = Peer("quantization_worker", options=options)
    measured = versions([worker])
    seeds = [FIRST_SEED + number for number in range(options.rounds)]
    chosen = [case for case in cases(bool(folder)) if options.only in case.name]
    found, start = {}, perf_counter()
    for number, case in enumerate(chosen, 1):
        found[case.name] = counted(worker, case, seeds, folder)
        print(*counts.in_words(case.name, found[case.name]), sep="\n")
        print(time_left(start, number, len(chosen)), flush=True)
    described = {model: worker.ask("describe", model=model) for model in MODELS}
    worker.close()
    return {
        "name": "quantization",  # on however many threads: nothing is timed
        "versions": measured,
        "disturbance": None,
        "scenes": {"seeds": seeds, **MODELS},
        "learning": {
            "seeds": list(TRAINING_SEEDS),
            **{model: how._asdict() for model, how in LEARNING.items()},
        },
        "models": described,
        "counts": found,
    }


def counted(worker, case, seeds, folder):
    """What is recorded of a case: what it is, and of every run what its file holds and
    what it gets right."""
    runs = []
    for seed in TRAINING_SEEDS if case.learning else (None,):
        asked = {**case._asdict(), "folder": folder, "seed": seed}
        losses = worker.ask("learn", **asked) if case.learning else []
        found = worker.ask("count", seeds=seeds, **asked)
        runs.append({"seed": seed, "losses": losses, **found})
    return {**case._asdict(), "runs": runs}


def add_folder(parser):
    """Where the runs lie, or will lie."""
    parser.add_argument("folder", type=Path, nargs="?")


def names(options):
    """What `--only` chooses from."""
    return [case.name for case in cases(bool(options.folder))]


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "quantization",
        measure,
        __doc__,
        names,
        arguments,
        more=[add_folder],
        timed=False,
    )


if __name__ == "__main__":
    sys.exit(main())
