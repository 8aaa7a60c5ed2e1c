"""Learning a tokenizer and cutting texts with it: refvlm's Python against tokenizers.

    python -m benchmarks.tokenizing [--rounds 5] [--only learn] [--record]

Each kind learns 1,000 tokens from the beginning of this book, and cuts the same text;
byte-level BPE cuts one word of 20,000 letters, too. The library's WordPiece goes by
counts where ours goes by scores, and both cut with what ours learnt. 5 rounds take a
minute.
"""

from __future__ import annotations

import sys
from time import perf_counter

from . import records, rows
from .tokenizing_worker import CASES, LETTERS
from .turns import Peer, take_turns, time_left, versions

NEEDS = ("tokenizers",)
COST = {"flops": 0, "bytes": LETTERS}  # every letter is read


def measure(options):
    """The record's own part."""
    libraries = "refvlm", "tokenizers"
    peers = {who: Peer("tokenizing_worker", who, options=options) for who in libraries}
    measured, table, start = versions(peers.values()), {}, perf_counter()
    chosen = [name for name in names(options) if options.only in name]
    for number, name in enumerate(chosen, 1):
        question = {"task": "run", "name": name}
        turns = {who: (peer, question) for who, peer in peers.items()}
        answers, disturbance = take_turns(options.rounds, turns)
        table[name] = rows.row(answers, COST, disturbance)
        print(rows.in_words(name, table[name]))
        print(time_left(start, number, len(chosen)), flush=True)
    for peer in peers.values():
        peer.close()
    return {"versions": measured, "rows": table}


def names(options):
    """What `--only` chooses from."""
    return list(CASES)


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "tokenizing", measure, __doc__, names, arguments, needs=NEEDS
    )


if __name__ == "__main__":
    sys.exit(main())
