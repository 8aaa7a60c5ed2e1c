"""A step of training of the tiny FastVLM: refvlm against PyTorch, taking turns.

    python -m benchmarks.train_step [--rounds 8] [--threads 1] [--record]

A step is the loss of a batch of 16 pictures and 144 texts, its gradient, clipping and
AdamW, in float32, from the same weights. PyTorch is measured in both memory layouts,
of which the better one counts. refvlm's is timed in shards, as it trains. The losses of
the first steps, of whole batches, are compared too. 8 rounds take a minute.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from . import records, rows
from .turns import Peer, take_turns, versions

NEEDS = ("torch", "transformers", "timm")
COMPARED = 5  # steps


def measure(options):
    """The record's one row, and that both learn the same."""
    with tempfile.TemporaryDirectory() as folder:
        ours = Peer("train_refvlm", folder, options=options)
        weights = ours.ask("write")
        Path(folder, "config.json").write_text(json.dumps(ours.ask("config")))
        theirs = Peer("train_torch", folder, options=options)
        measured = versions([ours, theirs])
        equal = equality(ours, theirs)
        turns = {"refvlm": (ours, {"task": "step"})}
        for layout in ("channels_last", "contiguous"):
            turns[layout] = theirs, {"task": "step", "layout": layout}
        answers, disturbance = take_turns(options.rounds, turns)
        row = rows.row(answers, ours.ask("cost"), disturbance)
        ours.close(), theirs.close()
    print(rows.in_words("step", row))
    print(equal)
    return {
        "name": f"train-step-{options.threads}",
        "versions": measured,
        "rows": {"step": row},
        "weights": weights,
        "equality": equal,
    }


def equality(ours, theirs):
    """The first losses and gradients' norms, and their largest relative difference."""
    mine = ours.ask("losses", steps=COMPARED)
    other = theirs.ask("losses", rates=[rate for _, _, rate in mine])
    pairs = [(a, b) for ours, theirs in zip(mine, other) for a, b in zip(ours, theirs)]
    return {
        "losses": [loss for loss, _, _ in mine],
        "losses_torch": [loss for loss, _ in other],
        "largest_difference": max(abs(a - b) / abs(b) for a, b in pairs),
    }


def names(options):
    """What `--only` chooses from."""
    return ["step"]


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "train-step", measure, __doc__, names, arguments, rounds=8, needs=NEEDS
    )


if __name__ == "__main__":
    sys.exit(main())
