"""The rules of sampling, one by one and together: refvlm against transformers.

    python -m benchmarks.sampling [--rounds 5] [--only top_p] [--record]

On the scores of one token, of Qwen2's 151,936: "peaked" ones, of which a thousand hold
nine tenths, and "flat" ones, of which it takes more than half, as from random weights;
and for 8 prompts at once. transformers' processors take turns; `sample` stands beside
softmax and multinomial. What a rule adds to a recorded token of FastVLM-0.5B, of one
prompt, is shown, too. 5 rounds take a minute and a half.
"""

from __future__ import annotations

import sys
from time import perf_counter

from . import identity, records, rows
from .sampling_worker import CASES, VOCABULARY
from .turns import Peer, take_turns, time_left, versions

NEEDS = ("torch", "transformers")


def measure(options):
    """The record's own part."""
    libraries = "refvlm", "transformers"
    peers = {who: Peer("sampling_worker", who, options=options) for who in libraries}
    measured, table, start = versions(peers.values()), {}, perf_counter()
    chosen = [name for name in names(options) if options.only in name]
    token = seconds_of_a_token(options)
    for number, name in enumerate(chosen, 1):
        question = {"task": "run", "name": name}
        turns = {who: (peer, question) for who, peer in peers.items()}
        answers, disturbance = take_turns(options.rounds, turns)
        table[name] = rows.row(answers, cost(name), disturbance)
        print(rows.in_words(name, table[name]), end="")
        of_one = token and CASES[name][-1] == 1
        print(f"  {share(table[name], token):.1%} of a step" if of_one else "")
        print(time_left(start, number, len(chosen)), flush=True)
    for peer in peers.values():
        peer.close()
    return {"versions": measured, "rows": table}


def cost(name):
    """Every score is read, whatever the rule."""
    return {"flops": 0, "bytes": 4 * VOCABULARY * CASES[name][-1]}


def seconds_of_a_token(options):
    """What refvlm took for one of FastVLM-0.5B on this kind of processor, or None."""
    folder = identity.kind(identity.machine(), options.kernels)
    model = records.load_all(records.RESULTS / folder).get("fastvlm-05b")
    return model and model["rows"]["token"]["seconds"]["refvlm"]["median"]


def share(row, token):
    """A rule's part of the time of a step, which is a token and the rule."""
    took = row["seconds"]["refvlm"]["median"]
    return took / (token + took)


def names(options):
    """What `--only` chooses from."""
    return list(CASES)


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "sampling", measure, __doc__, names, arguments, needs=NEEDS
    )


if __name__ == "__main__":
    sys.exit(main())
