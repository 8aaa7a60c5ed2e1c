"""What this machine can do in NumPy: the roofs of its roofline, and its functions.

    python -m benchmarks.roofs [--rounds 5] [--only product] [--record]

GFLOP/s of matrix products (the flat roof) and GB/s of walks through memory (the
slanted ones: from a core's L2, from L3, from far away), on one thread and on all; and
nanoseconds per number of the functions that networks are made of, in cache, on one
core. A rate is the median of its calls, and the best of rounds that are spread over
the whole run: a roof is the most that was ever seen. 5 rounds take 4 minutes.
"""

from __future__ import annotations

import sys
from time import perf_counter

from . import believable, records
from .roofs_worker import FUNCTIONS, PLACES, PRODUCTS, WALKS
from .turns import Peer, ask_in_quiet, time_left, versions


def measure(options):
    """The record's rates; each round asks for everything once."""
    counts = sorted({1, options.threads})
    peers = {n: Peer("roofs_worker", options=options, threads=n) for n in counts}
    measured = versions(peers.values())
    asked = [each for each in questions(counts) if options.only in name_of(each)]
    answers, worst, start = {place: [] for place, _, _ in asked}, 0.0, perf_counter()
    for number in range(options.rounds):
        for place, threads, question in asked:
            answer, disturbance = ask_in_quiet(peers[threads], question)
            answers[place].append(answer)
            worst = max(worst, disturbance)
        print("round", time_left(start, number + 1, options.rounds), flush=True)
    for peer in peers.values():
        peer.close()
    record = {"products": {}, "walks": {}, "functions": {}}
    for place, given in answers.items():
        folder = record
        for part in place[:-1]:
            folder = folder.setdefault(part, {})
        folder[place[-1]] = rate(given)
    for name, each in believable.rates(record):
        print(f"{name:44} {each['value']:8.3f}  (rounds within {each['spread']:.0%})")
    return {
        "versions": measured,
        "disturbance": worst,
        "units": {"products": "GFLOP/s", "walks": "GB/s", "functions": "ns/number"},
        **record,
    }


def questions(counts):
    """(where the answer belongs, threads, the question)."""
    for n in counts:
        for m, k, columns in PRODUCTS:
            question = {"task": "product", "m": m, "k": k, "n": columns}
            yield ("products", str(n), f"{m} x {k} x {columns}"), n, question
    for n in counts:
        for place in PLACES:
            # A walk through L2 is shorter than it takes to hand it to two threads.
            for kind in WALKS if place != "L2" or n == 1 else ():
                question = {"task": "walk", "kind": kind, "place": place}
                yield ("walks", str(n), place, kind), n, question
    for name in FUNCTIONS:
        yield ("functions", name), 1, {"task": "function", "name": name}


def name_of(question):
    """The places of its answer in the record, as one line."""
    return " ".join(question[0])


def names(options):
    """What `--only` chooses from."""
    return [name_of(each) for each in questions(sorted({1, options.threads}))]


def rate(answers):
    """The best rate of some rounds, how far apart they were, and what was counted."""
    first, took = answers[0], [answer["seconds"] for answer in answers]
    spread = max(took) / min(took) - 1
    if "numbers" in first:
        return {"value": 1e9 * min(took) / first["numbers"], "spread": spread}
    counted = {key: value for key, value in first.items() if key != "seconds"}
    work = first.get("flops", first["bytes"])
    return {"value": work / min(took) / 1e9, "spread": spread, **counted}


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark("roofs", measure, __doc__, names, arguments)


if __name__ == "__main__":
    sys.exit(main())
