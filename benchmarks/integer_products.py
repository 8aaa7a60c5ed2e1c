"""Products of int8 in whole numbers, taking turns: how much float32's speed is worth.

    python -m benchmarks.integer_products [--rounds 5] [--only conv] [--record]

`matmul_integer` and `conv_integer` against NumPy's own product of int32, the product of
float32 that they are made of (of operands that are floats already), PyTorch's
`_int_mm`, and onnxruntime's MatMulInteger and ConvInteger, with weights as constants.
The sums of all have to be the same, but for float32's, of which it is said. 5 rounds
take three minutes, most of them NumPy's int32.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from time import perf_counter

from . import identity, records, rows
from .integer_products_worker import CASES, FORMS
from .turns import Peer, RefusedError, take_turns, time_left, versions

NEEDS = ("torch",)
WORKER = "integer_products_worker"


def measure(options):
    """The record's own part."""
    peers = {who: Peer(WORKER, who, options=options) for who in libraries(options)}
    measured, table, start = versions(peers.values()), {}, perf_counter()
    chosen = [name for name in CASES if options.only in name]
    for number, name in enumerate(chosen, 1):
        asked = {who: peers[of] for who, of in FORMS.items() if of in peers}
        same = equality(name, asked)
        turns = {
            who: (peer, {"task": "run", "name": name, "form": who})
            for who, peer in asked.items()
        }
        answers, disturbance = take_turns(options.rounds, turns)
        table[name] = rows.row(answers, CASES[name].cost(), disturbance)
        table[name]["equal"] = same
        print(rows.in_words(name, table[name]))
        print(time_left(start, number, len(chosen)), flush=True)
    for peer in peers.values():
        peer.close()
    return {"versions": measured, "rows": table}


def libraries(options):
    """A process for each; onnxruntime where it is, and can be held to what is asked."""
    found = ["numpy", "torch"]
    missing = [name for name in ("onnxruntime", "onnx") if not find_spec(name)]
    if missing:
        print(f"without onnxruntime: {' and '.join(missing)} not installed")
    elif options.kernels == "avx2" and identity.machine()["instructions"] != "AVX2":
        print("without onnxruntime: it cannot be held to AVX2")
    else:
        found.append("onnxruntime")
    return found


def equality(name, asked):
    """Whose sums are refvlm's; refused where whole numbers give others."""
    sums = {who: peer.ask("digest", name=name, form=who) for who, peer in asked.items()}
    same = {who: each == sums["refvlm"] for who, each in sums.items() if each}
    for who, is_same in same.items():
        if not is_same and who != "float32":
            raise RefusedError(f"{name}: {who} gives other sums")
    return same


def names(options):
    """What `--only` chooses from."""
    return list(CASES)


def main(arguments=None):
    """The command; its exit status."""
    return records.benchmark(
        "integer-products", measure, __doc__, names, arguments, needs=NEEDS
    )


if __name__ == "__main__":
    sys.exit(main())
