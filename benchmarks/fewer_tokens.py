"""Fewer tokens: what the trained models get right when they go on with some of them.

    python -m benchmarks.fewer_tokens [--rounds 5] [--only merged] [--record]

fastvlm-tiny's decoder with fewer of its 16 tokens of a picture, and clip-tiny's tower
with fewer of its 64 patches: kept by chance, by their length, by attention, or made by
merging and by clusters. Captions that are true in every fact, questions answered and
objects named, on fresh scenes, the same for all, of as many seeds as there are rounds.
Nothing is timed. The whole takes about half an hour on one core.
"""

from __future__ import annotations

import sys
from time import perf_counter

from . import counts, records
from .fewer_tokens_cases import FIRST_SEED, MODELS, TOKENS, cases
from .turns import Peer, time_left, versions


def measure(options):
    """The record's own part."""
    worker = Peer("fewer_tokens_worker", options=options)
    measured = versions([worker])
    seeds = [FIRST_SEED + number for number in range(options.rounds)]
    chosen = [case for case in cases() if options.only in case.name]
    found, start = {}, perf_counter()
    for number, case in enumerate(chosen, 1):
        shares = worker.ask("count", **case._asdict(), seeds=seeds)
        found[case.name] = {
            **case._asdict(),
            "runs": [{"seed": None, "shares": shares}],
        }
        print(*counts.in_words(case.name, found[case.name]), sep="\n")
        print(time_left(start, number, len(chosen)), flush=True)
    worker.close()
    return {
        "name": "fewer-tokens",  # on however many threads: nothing is timed
        "versions": measured,
        "disturbance": None,
        "scenes": {"seeds": seeds, **MODELS},
        "tokens": TOKENS,
        "counts": found,
    }


def names(options):
    """What `--only` chooses from."""
    return [case.name for case in cases()]


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "fewer-tokens", measure, __doc__, names, arguments, timed=False
    )


if __name__ == "__main__":
    sys.exit(main())
