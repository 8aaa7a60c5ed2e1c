"""Beam search, whole: refvlm against transformers, taking turns.

    python -m benchmarks.beams [--rounds 5] [--only beams] [--record]

A Qwen2 of 5 million random weights (4 layers of 256, a vocabulary of 8,192) goes on
from 32 tokens by 64: greedily, along 4 beams, and for 8 prompts along 4 beams each; and
one layer of 16, before the vocabulary of Qwen2, where most of a step is search. A row
is one step, on the average. How much of refvlm's the search took, and moving the cache
to where the beams went, is beside it; and whether both say the same. 5 rounds take a
minute and a half.
"""

from __future__ import annotations

import statistics
import sys
import tempfile

from . import model_costs, records, rows
from .beams_worker import CASES, CONFIGS, PROMPT, write
from .turns import Peer, take_turns, versions

NEEDS = ("torch", "transformers")
LIBRARIES = ("refvlm", "transformers")


def measure(options):
    """The record's rows, where refvlm's time went, and that the answers agree."""
    with tempfile.TemporaryDirectory() as folder:
        write(folder)
        peers = {
            who: Peer("beams_worker", who, folder, options=options) for who in LIBRARIES
        }
        measured, table, shares, equal = versions(peers.values()), {}, {}, {}
        for name in [name for name in CASES if options.only in name]:
            question = {"task": "run", "name": name}
            turns = {who: (peer, question) for who, peer in peers.items()}
            answers, disturbance = take_turns(options.rounds, turns)
            times = {w: [each["step"] for each in all_] for w, all_ in answers.items()}
            table[name] = rows.row(times, cost(name), disturbance)
            shares[name] = share(answers["refvlm"])
            said = [answers[who][0]["ids"] for who in LIBRARIES]
            equal[name] = said[0] == said[1]
            print(in_words(name, table[name], shares[name], equal[name]), flush=True)
        for peer in peers.values():
            peer.close()
    return {"versions": measured, "rows": table, "shares": shares, "equality": equal}


def cost(name):
    """Operations and least bytes of a step: a token for each beam, with its cache."""
    model, prompts, beams = CASES[name]
    return model_costs.tokens_in_rows(CONFIGS[model], prompts * beams, PROMPT)


def share(answers):
    """What part of refvlm's time was search, and what moving the cache."""
    moved = [each["reorder"] / each["step"] for each in answers]
    model = [each["model"] / each["step"] for each in answers]
    search = [1 - of_cache - of_model for of_cache, of_model in zip(moved, model)]
    return {"search": statistics.median(search), "cache": statistics.median(moved)}


def in_words(name, row, shares, equal):
    """One line of the table that is printed."""
    _, prompts, beams = CASES[name]
    rate = prompts / row["seconds"]["refvlm"]["median"]
    words = [rows.in_words(name, row), f"{rate:.0f} tokens a second"]
    words += [f"{part} {of:.1%}" for part, of in shares.items() if beams > 1]
    return "  ".join([*words, "the same ids" if equal else "OTHER ids"])


def names(options):
    """What `--only` chooses from."""
    return list(CASES)


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark("beams", measure, __doc__, names, arguments, needs=NEEDS)


if __name__ == "__main__":
    sys.exit(main())
