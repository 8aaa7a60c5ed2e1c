"""Towers and a small LLaVA, whole: refvlm against transformers, taking turns, float32.

    python -m benchmarks.encoders FOLDER [--rounds 5] [--only ViT] [--record]

ViT-B/16 of one picture and of 8, both towers of CLIP B/32, ResNet-50 and ConvNeXt-T;
and of a LLaVA the prompt, its picture included, and each token behind it. LLaVA-1.5-7B
does not fit twice into 24 GB: this one has CLIP B/16's tower and a decoder of 12 layers
of 1,024. FOLDER receives the checkpoints with random weights (2.5 GB), once. PyTorch
stands in both kinds of attention, or both memory layouts, of which the better one
counts; and the answers are compared.
"""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

import numpy as np

from . import records, rows
from .encoders_worker import CASES
from .turns import Peer, RefusedError, take_turns, time_left, versions

NEEDS = ("torch", "transformers")
CLOSE = 1e-3  # of the largest value: answers that differ more are of something else


def measure(options):
    """The record's own part."""
    folder = options.folder.resolve()
    libraries = "refvlm", "transformers"
    peers = {
        who: Peer("encoders_worker", who, folder, options=options) for who in libraries
    }
    measured, table, start = versions(peers.values()), {}, perf_counter()
    chosen = [name for name in CASES if options.only in name]
    for model in dict.fromkeys(CASES[name].model for name in chosen):
        peers["transformers"].ask("write", model=model)
    for number, name in enumerate(chosen, 1):
        far = difference(peers, name, folder)
        answers, disturbance = take_turns(options.rounds, turns(peers, name))
        cost = peers["transformers"].ask("cost", name=name)
        table[name] = rows.row(answers, cost, disturbance) | {"difference": far}
        print(rows.in_words(name, table[name]))
        print(time_left(start, number, len(chosen)), flush=True)
    for peer in peers.values():
        peer.close()
    return {"versions": measured, "rows": table}


def turns(peers, name):
    """Everybody who does a case, and in which form."""
    run = {"task": "run", "name": name}
    forms = {
        form: (peers["transformers"], {**run, "form": form})
        for form in CASES[name].forms
    }
    return {"refvlm": (peers["refvlm"], run), **forms}


def difference(peers, name, folder):
    """How far the answers are apart, of the largest value; refused if too far."""
    found = []
    for who, peer in peers.items():
        out = folder / f"answer-{who}.npy"
        peer.ask("answer", name=name, out=str(out))
        found.append(np.load(out).astype(np.float64))
    ours, theirs = found
    far = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    if not far < CLOSE:
        raise RefusedError(f"{name}: the answers differ by {far:.1e}")
    return far


def add_folder(parser):
    """Where the checkpoints lie, or will lie."""
    parser.add_argument("folder", type=Path)


def names(options):
    """What `--only` chooses from."""
    return list(CASES)


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "encoders", measure, __doc__, names, arguments, needs=NEEDS, more=[add_folder]
    )


if __name__ == "__main__":
    sys.exit(main())
