"""Operators, one by one: refvlm against PyTorch, taking turns, float32.

    python -m benchmarks.operators [--rounds 7] [--only attention]

Shapes are those of FastVLM-0.5B. Convolutions are measured in PyTorch's better memory
layout. A ratio below 1 says that NumPy is faster.
"""

from __future__ import annotations

import argparse

from .operator_cases import CASES
from .turns import Peer, add_arguments, machine, median, save, take_turns


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", default="", help="cases whose name contains this; not saved"
    )
    add_arguments(parser)
    options = parser.parse_args()
    ours = Peer("operator_cases", "refvlm", options=options)
    theirs = Peer("operator_cases", "torch", options=options)
    rows = {}
    for name in CASES:
        if options.only in name:
            rows[name] = compare(name, ours, theirs, options.rounds)
    ours.close(), theirs.close()
    if not options.only:
        save(options.name or f"operators-{options.kernels}", report(options, rows))


def report(options, rows):
    """The result's document."""
    return {"machine": machine(options), "unit": "milliseconds", "rows": rows}


def compare(name, ours, theirs, rounds):
    """Medians and their ratio for one case, printed."""
    run = {"task": "run", "name": name}
    turns = {"refvlm": (ours, run), "contiguous": (theirs, run)}
    if CASES[name].is_picture:
        turns["channels_last"] = theirs, run | {"channels_last": True}
    answers, disturbance = take_turns(rounds, turns)
    medians = {who: median(times) for who, times in answers.items()}
    mine = medians.pop("refvlm")
    better = min(medians, key=medians.get)
    row = {
        "refvlm": mine * 1e3,
        "torch": medians[better] * 1e3,
        "layout": better,
        "ratio": mine / medians[better],
        "disturbance": disturbance,
    }
    print(
        f"{name:44} {row['refvlm']:9.2f} ms {row['torch']:9.2f} ms "
        f"{row['ratio']:6.2f}  {better}  ({disturbance:.0%} disturbed)"
    )
    return row


if __name__ == "__main__":
    main()
