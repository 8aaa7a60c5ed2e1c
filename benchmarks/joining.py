"""One task, one budget: every way to join a picture to a decoder, learnt and counted.

    python -m benchmarks.joining FOLDER [--rounds 2] [--only cross] [--record]

The frozen tower of clip-tiny, joined to a small decoder in every way of
`refvlm.recipes.joints`: from three seeds each, of the same scenes, texts and first
numbers, in as many steps. Recorded are captions that are true in every fact, questions
by kind, on fresh scenes that are the same for all; the curves of the loss; parameters;
FLOPs, counted; and seconds of processor time, which other programs disturb a little.

In FOLDER the runs lie, or will. The whole takes about 80 minutes on one core. It may be
interrupted: what is there is not done again.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

from . import counts, records
from .joining_cases import FIRST_SEED, PEAKS, QUESTIONS, SCENES, SEEDS, STEPS, WORDS
from .turns import Peer, time_left, versions


def measure(options):
    """The record's own part."""
    worker = Peer("joining_worker", options=options)
    measured = versions([worker])
    folder = str(options.folder.resolve())
    chosen = [joint for joint in PEAKS if options.only in joint]
    runs = [(seed, joint) for seed in SEEDS for joint in chosen]
    start, learnt = perf_counter(), {}
    for number, (seed, joint) in enumerate(runs, 1):
        asked = {"folder": folder, "joint": joint, "seed": seed}
        learnt[seed, joint] = worker.ask("learn", **asked)
        print(
            f"{joint}, seed {seed}: {time_left(start, number, len(runs))}", flush=True
        )
    scenes = [FIRST_SEED + number for number in range(options.rounds)]
    found = {}
    for joint in chosen:
        found[joint] = {"learning": True, **worker.ask("describe", joint=joint)}
        found[joint]["runs"] = [
            {
                "seed": seed,
                **learnt[seed, joint],
                "shares": worker.ask(
                    "count", folder=folder, joint=joint, seed=seed, seeds=scenes
                ),
            }
            for seed in SEEDS
        ]
        print(*in_words(joint, found[joint]), sep="\n", flush=True)
    worker.close()
    return {
        "name": "joining",  # on however many threads
        "versions": measured,
        "disturbance": None,
        "scenes": {"seeds": scenes, "scenes": SCENES, "questions": QUESTIONS},
        "learning": {"seeds": list(SEEDS), "steps": STEPS, "peaks": PEAKS},
        "words": WORDS,
        "counts": found,
    }


def in_words(joint, case):
    """The lines that are printed of a joint."""
    yield (
        f"{joint}: {case['parameters']['joint']:,} parameters, "
        f"{case['flops']['picture'] / 1e6:.1f} MFLOPs a picture, "
        f"{case['flops']['token'] / 1e6:.2f} a token"
    )
    yield from counts.told(case, ("captions", "questions"))


def add_folder(parser):
    """Where the runs lie, or will lie."""
    parser.add_argument("folder", type=Path)


def names(options):
    """What `--only` chooses from."""
    return list(PEAKS)


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "joining",
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
