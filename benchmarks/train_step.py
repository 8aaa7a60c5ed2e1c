"""A step of training of the tiny FastVLM: refvlm against PyTorch, taking turns.

    python -m benchmarks.train_step [--rounds 15] [--threads 1]

A step is the loss of a batch of 16 pictures and 144 texts, its gradient, clipping and
AdamW, in float32, from the same weights. PyTorch is measured in both memory layouts,
of which the better one counts. The losses of the first steps are compared too.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

from .turns import Peer, add_arguments, machine, median, save, take_turns

COMPARED = 5  # steps


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser)
    parser.set_defaults(rounds=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ours = Peer("train_refvlm", folder, options=options)
        weights = ours.ask("write")
        Path(folder, "config.json").write_text(json.dumps(ours.ask("config")))
        theirs = Peer("train_torch", folder, options=options)
        equal = equality(ours, theirs)
        seconds, disturbance = take_turns(
            options.rounds,
            {
                "refvlm": (ours, {"task": "step"}),
                **{
                    layout: (theirs, {"task": "step", "layout": layout})
                    for layout in ("channels_last", "contiguous")
                },
            },
        )
        versions = ours.ask("versions") | theirs.ask("versions")
        ours.close(), theirs.close()
    medians = {name: median(samples) for name, samples in seconds.items()}
    better = min(medians["channels_last"], medians["contiguous"])
    result = {
        "machine": machine(options),
        "versions": versions,
        "disturbance": disturbance,
        "weights": weights,
        "seconds": seconds,
        "ratio": medians["refvlm"] / better,
        "equality": equal,
    }
    for name, value in medians.items():
        print(f"{name:14} {value:.4f} s")
    print(f"ratio {result['ratio']:.2f}; others took {disturbance:.1%} at most")
    print(equal)
    save(options.name or f"train-step-{options.kernels}-{options.threads}", result)


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


if __name__ == "__main__":
    main()
