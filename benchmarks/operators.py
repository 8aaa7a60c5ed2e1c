"""Operators, one by one: refvlm against PyTorch and onnxruntime, taking turns, float32.

    python -m benchmarks.operators [--rounds 7] [--only attention] [--record]

Shapes are those of FastVLM-0.5B. Convolutions are measured in both of PyTorch's memory
layouts. onnxruntime runs what PyTorch exports, with weights as constants, and its
answers are compared with refvlm's. A ratio below 1 says that NumPy is faster.
"""

from __future__ import annotations

import sys
import tempfile

from . import records, rows
from .operator_cases import CASES
from .opponents import onnxruntime
from .turns import Peer, RefusedError, take_turns

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
    versions = {}
    for peer in peers.values():
        versions |= peer.ask("versions")
    table = {}
    for name in CASES:
        if options.only in name:
            answers, disturbance = take_turns(options.rounds, turns(name, peers))
            table[name] = rows.row(answers, CASES[name].cost(), disturbance)
            table[name]["differences"] = differences(name, others)
            print(rows.in_words(name, table[name]), flush=True)
    for peer in peers.values():
        peer.close()
    worst = max((row["disturbance"] for row in table.values()), default=0.0)
    return {"versions": versions, "disturbance": worst, "rows": table}


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


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark("operators", measure, __doc__, arguments)


if __name__ == "__main__":
    sys.exit(main())
