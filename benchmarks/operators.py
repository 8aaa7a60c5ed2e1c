"""Operators, one by one: refvlm against PyTorch and onnxruntime, taking turns, float32.

    python -m benchmarks.operators [--rounds 7] [--only attention] [--record]

Shapes are those of FastVLM-0.5B. Convolutions are measured in both of PyTorch's memory
layouts. A ratio below 1 says that NumPy is faster.
"""

from __future__ import annotations

import sys

from . import records, rows
from .operator_cases import CASES
from .opponents import onnxruntime
from .turns import Peer, take_turns


def measure(options):
    """The rows of the record."""
    refvlm = Peer("operator_cases", "refvlm", options=options)
    torch = Peer("operator_cases", "torch", options=options)
    peers = {"refvlm": refvlm, "torch": torch, **onnxruntime(options)}
    versions = {}
    for peer in peers.values():
        versions |= peer.ask("versions")
    table = {}
    for name in CASES:
        if options.only in name:
            answers, disturbance = take_turns(options.rounds, turns(name, peers))
            table[name] = rows.row(answers, CASES[name].cost(), disturbance)
            print(rows.in_words(name, table[name]), flush=True)
    for peer in peers.values():
        peer.close()
    worst = max((row["disturbance"] for row in table.values()), default=0.0)
    return {"versions": versions, "disturbance": worst, "rows": table}


def turns(name, peers):
    """Everybody who does a case, and in which form."""
    run = {"task": "run", "name": name}
    asked = {"refvlm": (peers["refvlm"], run), "contiguous": (peers["torch"], run)}
    if CASES[name].is_picture:
        asked["channels_last"] = peers["torch"], run | {"channels_last": True}
    if "onnxruntime" in peers:
        asked["onnxruntime"] = peers["onnxruntime"], run
    return asked


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark("operators", measure, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
