"""Fewer tokens: what merging, clusters and pruning take, and what they spare a layer.

    python -m benchmarks.merging [--rounds 5] [--only merge] [--record]

576 tokens of 1,024, as in CLIP ViT-L/14 at 336 pixels, float32: 23 merged or half of
them, half of them pruned, 144 clusters; and one layer of the tower on all tokens and on
those that are left. Nobody else takes part: what is compared is our own layer. 5 rounds
take a minute.
"""

from __future__ import annotations

import sys

from . import records, rows
from .merging_worker import CLUSTERS, COSTS, FEW, HALF, TOKENS
from .turns import Peer, take_turns, versions

SPARED = {  # what thins out, and the tokens that a layer is left with
    f"merge {FEW}": TOKENS - FEW,
    f"merge {HALF}": TOKENS - HALF,
    f"prune {HALF}": TOKENS - HALF,
    f"clusters {CLUSTERS}": CLUSTERS,
}


def measure(options):
    """The record's own part: everything takes turns, so that a layer and what spares it
    have met the same machine."""
    peer = Peer("merging_worker", options=options)
    measured = versions([peer])
    chosen = [name for name in COSTS if options.only in name]
    turns = {name: (peer, {"task": "run", "name": name}) for name in chosen}
    answers, disturbance = take_turns(options.rounds, turns)
    peer.close()
    table = {}
    for name in chosen:
        flops, numbers = COSTS[name]
        cost = {"flops": flops, "bytes": 4 * numbers}
        table[name] = rows.row({"refvlm": answers[name]}, cost, disturbance)
        print(rows.in_words(name, table[name]))
    for line in spared(table):
        print(line)
    return {"versions": measured, "rows": table}


def spared(table):
    """What each way takes, as a share of what one layer then takes less."""
    took = {name: row["seconds"]["refvlm"]["median"] for name, row in table.items()}
    for name, left in SPARED.items():
        layers = f"layer of {TOKENS}", f"layer of {left}"
        if {name, *layers} <= took.keys():
            less = took[layers[0]] - took[layers[1]]
            yield f"{name}: {took[name] / less:.0%} of what one layer is spared"


def names(options):
    """What `--only` chooses from."""
    return list(COSTS)


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark("merging", measure, __doc__, names, arguments)


if __name__ == "__main__":
    sys.exit(main())
