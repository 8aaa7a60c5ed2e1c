"""Cost against size: the same work of refvlm, small and large, and how time grows.

    python -m benchmarks.scaling FOLDER [--rounds 2] [--only token] [--record]

The tower against a picture's side, the prompt against its length, a token against its
context (FastVLM-0.5B with random weights, 2.5 GB in FOLDER), a step of training of
fastvlm-tiny against its batch, and `encode` against the length of a text. Each on one
thread and on all; `encode` uses one. Beside the exponents stand those of operations
and bytes over the same sizes: what theory expects of work that runs at one speed.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import NamedTuple

from . import checkpoint_05b, fits, records, rows
from .turns import Peer, take_turns, versions


class Sweep(NamedTuple):
    """One kind of work: what its size is, which sizes, and the terms of theory."""

    model: str
    size: str
    sizes: tuple[int, ...]
    powers: tuple[int, ...]
    is_threaded: bool = True


LARGE, TINY = "FastVLM-0.5B", "fastvlm-tiny"
SWEEPS = {
    # Tokens of a picture are as the square of its side, pairs of them as the fourth.
    "tower": Sweep(LARGE, "pixels a side", (256, 512, 768, 1024), (0, 2, 4)),
    "prompt": Sweep(LARGE, "tokens", (16, 64, 256, 1024), (0, 1, 2)),
    "token": Sweep(LARGE, "tokens before it", (16, 64, 256, 1024, 4096), (0, 1)),
    "step": Sweep(TINY, "pictures", (2, 4, 8, 16, 32), (0, 1)),
    "encode": Sweep(TINY, "bytes", tuple(4**n << 10 for n in range(6)), (0, 1), False),
}


def measure(options):
    """The record's rows, one for each size and number of threads, and its fits."""
    folder = options.folder.resolve()
    checkpoint_05b.write(folder)
    counts = sorted({1, options.threads})
    peers = {
        n: Peer("scaling_worker", folder, options=options, threads=n) for n in counts
    }
    measured = versions(peers.values())
    table, fitted = {}, {}
    for name, sweep in SWEEPS.items():
        chosen = [
            place
            for place in places(sweep, counts)
            if options.only in row_name(name, *place)
        ]
        if chosen:
            found = sweep_rows(name, chosen, peers, options.rounds)
            named = {row_name(name, *place): row for place, row in found.items()}
            table |= named
            if is_whole(sweep, chosen):
                fitted[name] = fit(sweep, found)
                print(*in_words(name, fitted[name]), sep="\n", flush=True)
            else:
                print(*map(rows.in_words, named, named.values()), sep="\n", flush=True)
    for peer in peers.values():
        peer.close()
    return {"versions": measured, "rows": table, "fits": fitted}


def places(sweep, counts):
    """Every (size, threads) of a sweep."""
    threads = counts if sweep.is_threaded else [1]
    return [(size, n) for size in sweep.sizes for n in threads]


def is_whole(sweep, chosen):
    """Whether every size is there on each number of threads, as a fit needs it."""
    return set(chosen) == {(size, n) for size in sweep.sizes for _, n in chosen}


def sweep_rows(name, chosen, peers, rounds):
    """{(size, threads): row}, all in turns, so that no size has the slow minutes."""
    turns = {
        (size, n): (peers[n], {"task": "run", "sweep": name, "size": size})
        for size, n in chosen
    }
    answers, disturbance = take_turns(rounds, turns)
    found = {}
    for (size, threads), samples in answers.items():
        cost = peers[threads].ask("cost", sweep=name, size=size)
        row = rows.row({"refvlm": samples}, cost, disturbance)
        found[size, threads] = row | {"sweep": name, "size": size, "threads": threads}
    return found


def row_name(sweep, size, threads):
    """A row's name in the record."""
    return f"{sweep} {size}, {threads} thread{'s' if threads > 1 else ''}"


def fit(sweep, found):
    """What was swept, and how times, operations and bytes grow."""
    threads = sorted({threads for _, threads in found})
    first = [row for (_, n), row in found.items() if n == threads[0]]
    costs = {part: [row[part] for row in first] for part in ("flops", "bytes")}
    times = {
        str(n): [
            row["seconds"]["refvlm"]["median"]
            for (_, m), row in found.items()
            if m == n
        ]
        for n in threads
    }
    return {
        "model": sweep.model,
        "size": sweep.size,
        "sizes": list(sweep.sizes),
        "theory": {
            part: grown(sweep, counts) for part, counts in costs.items() if all(counts)
        },
        "threads": {n: grown(sweep, took) for n, took in times.items()},
    }


def grown(sweep, values):
    """One power of the size, and a sum of those that theory names."""
    return {
        "power": fits.power(sweep.sizes, values),
        "terms": fits.terms(sweep.sizes, values, sweep.powers),
    }


def in_words(name, fitted):
    """The lines that a sweep prints."""
    yield f"{name} ({fitted['model']}) against {fitted['size']}, {fitted['sizes']}"
    lines = {f"time, threads {n}": one for n, one in fitted["threads"].items()}
    for label, one in (lines | fitted["theory"]).items():
        power, crossings = one["power"], one["terms"]["crossings"]
        line = f"  {label:16} exponent {power['exponent']:.2f} +- {power['error']:.2f}"
        line += f", {power['spread']:.1%} off the line"
        for pair, size in crossings.items():
            line += f"; terms {pair} cross at {size:,.0f}" if size else ""
        yield line


def add_folder(parser):
    """Where the checkpoint lies, or will lie."""
    parser.add_argument("folder", type=Path)


def names(options):
    """What `--only` chooses from."""
    counts = sorted({1, options.threads})
    return [
        row_name(name, *place)
        for name, sweep in SWEEPS.items()
        for place in places(sweep, counts)
    ]


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "scaling", measure, __doc__, names, arguments, rounds=2, more=[add_folder]
    )


if __name__ == "__main__":
    sys.exit(main())
