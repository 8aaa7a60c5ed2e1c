"""Operators, one by one: refvlm against PyTorch and onnxruntime, taking turns, float32.

    python -m benchmarks.operators [--rounds 5] [--only attention] [--record]

Shapes are those of FastVLM-0.5B. Convolutions are measured in both of PyTorch's memory
layouts. onnxruntime runs what PyTorch exports, with weights as constants, and its
answers are compared with refvlm's. A ratio below 1 says that NumPy is faster.
5 rounds take about 6 minutes, one of which is the export.
"""

from __future__ import annotations

import sys
import tempfile
from time import perf_counter

from . import records, rows
from .operator_cases import CASES
from .opponents import onnxruntime
from .turns import Peer, RefusedError, take_turns, time_left, versions

NEEDS = ("torch",)
CLOSE = 1e-4  # of the largest value: answers that differ more are of something else


def measure(options):
    """The record's own part."""
    with tempfile.TemporaryDirectory() as folder:
        return compare(options, onnxruntime(options, "operators", folder))


def compare(options, others):
    """The rows of the record, and the versions of those who took part."""
    refvlm = Peer("operator_cases", "refvlm", options=options)
    torch = Peer("operator_cases", "torch", options=options)
    peers = {"refvlm": refvlm, "torch": torch, **others}
    measured, table, start = versions(peers.values()), {}, perf_counter()
    chosen = [name for name in CASES if options.only in name]
    for number, name in enumerate(chosen, 1):
        answers, disturbance = take_turns(options.rounds, turns(name, peers))
        table[name] = rows.row(answers, CASES[name].cost(), disturbance)
        table[name]["differences"] = differences(name, others)
        print(rows.in_words(name, table[name]))
        print(time_left(start, number, len(chosen)), flush=True)
    for peer in peers.values():
        peer.close()
    return {"versions": measured, "rows": table}


def differences(name, others):
    """How far the answers of other runtimes are from refvlm's; refused if too far."""
    found = {who: peer.ask("difference", name=name) for who, peer in others.items()}
    for who, difference in found.items():
        if not difference < CLOSE:
            raise RefusedError(f"{name}: {who}'s answer differs by {difference:.1e}")
    return found


def turns(name, peers):
    """Everybody who does a case, and in which form."""
    run = {"task": "run", "name": name}
    asked = {"refvlm": (peers["refvlm"], run), "contiguous": (peers["torch"], run)}
    if CASES[name].is_picture:
        asked["channels_last"] = peers["torch"], run | {"channels_last": True}
    if "onnxruntime" in peers:
        asked["onnxruntime"] = peers["onnxruntime"], run
    return asked


def names(options):
    """What `--only` chooses from."""
    return list(CASES)


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "operators", measure, __doc__, names, arguments, needs=NEEDS
    )


if __name__ == "__main__":
    sys.exit(main())
