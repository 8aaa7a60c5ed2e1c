"""Learning a tokenizer and cutting texts with it: refvlm's Python against tokenizers.

    python -m benchmarks.tokenizing [--rounds 5] [--only learn] [--record]

Each kind learns 1,000 tokens from the first 50,000 characters of the book's pages, of
which the record keeps a digest, and cuts the same text: a tokenizer that is just opened
does, and one that cut it before, since the library keeps what words are cut into.
Byte-level BPE cuts one word of 20,000 letters, too. The library's WordPiece goes by
counts where ours goes by scores, its unigram favours few pieces, and both cut with what
ours learnt. 5 rounds take two minutes.
"""

from __future__ import annotations

import hashlib
import sys
from time import perf_counter

from . import identity, records, rows
from .tokenizing_worker import CASES, lines, text_of
from .turns import Peer, take_turns, time_left, versions

NEEDS = ("tokenizers",)


def measure(options):
    """The record's own part."""
    libraries = "refvlm", "tokenizers"
    peers = {who: Peer("tokenizing_worker", who, options=options) for who in libraries}
    measured, table, start = versions(peers.values()), {}, perf_counter()
    told(options)
    chosen = [name for name in names(options) if options.only in name]
    for number, name in enumerate(chosen, 1):
        question = {"task": "run", "name": name}
        turns = {who: (peer, question) for who, peer in peers.items()}
        answers, disturbance = take_turns(options.rounds, turns)
        table[name] = rows.row(answers, cost(name), disturbance)
        print(rows.in_words(name, table[name]))
        print(time_left(start, number, len(chosen)), flush=True)
    for peer in peers.values():
        peer.close()
    return {"versions": measured, "text": read(), "rows": table}


def cost(name):
    """Every letter is read, and nothing is computed with numbers."""
    return {"flops": 0, "bytes": len(text_of(name).encode())}


def read():
    """Which text was read: the book's pages change, and ratios with them, a little."""
    whole = "\n".join(lines()).encode()
    return {"bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}


def told(options):
    """Say so where the record is of another text."""
    folder = identity.kind(identity.machine(), options.kernels)
    recorded = records.load_all(records.RESULTS / folder).get("tokenizing", {})
    if recorded and recorded.get("text") != read():
        print("the book's pages are others than those of the record")


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
