"""Products of int8 in whole numbers, taking turns: how much float32's speed is worth.

    python -m benchmarks.integer_products [--rounds 5] [--only conv] [--record]

`matmul_integer` and `conv_integer` against NumPy's own product of int32, the product of
float32 that they are made of (of operands that are floats already), PyTorch's
`_int_mm`, and onnxruntime's MatMulInteger and ConvInteger, with weights as constants.
Each opponent stands in several forms: weights in both orders of memory, codes with a
sign and without. The quickest counts of those whose sums are refvlm's; that is looked
at on sums beyond 2^24 too, which float32 cannot hold. 5 rounds take about five minutes,
most of them NumPy's int32.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from time import perf_counter

from . import identity, records, rows
from .integer_products_worker import CASES, FORMS, INEXACT
from .turns import Peer, RefusedError, take_turns, time_left, versions

NEEDS = ("torch",)
WORKER = "integer_products_worker"


def measure(options):
    """The record's own part."""
    peers = {who: Peer(WORKER, who, options=options) for who in libraries(options)}
    measured, table, start = versions(peers.values()), {}, perf_counter()
    chosen = [name for name in CASES if options.only in name]
    for number, name in enumerate(chosen, 1):
        asked = {form: peers[of] for form, of in FORMS.items() if of in peers}
        same = equality(name, asked)
        turns = {
            form: (peer, {"task": "run", "name": name, "form": form})
            for form, peer in asked.items()
        }
        answers, disturbance = take_turns(options.rounds, turns)
        table[name] = row(answers, same, CASES[name].cost(), disturbance)
        print(rows.in_words(name, table[name]))
        print(others(table[name]))
        print(time_left(start, number, len(chosen)), flush=True)
    for peer in peers.values():
        peer.close()
    return {"versions": measured, "rows": table}


def row(answers, same, cost, disturbance):
    """The row of {form: seconds in each round}: of each opponent the quickest form
    counts that gives the same sums, and float32 as it is. All forms stand beside it."""
    forms = {form: rows.timing(samples) for form, samples in answers.items()}
    best: dict[str, str] = {}
    for form, time in forms.items():
        who = form.partition(", ")[0]
        may_count = form not in INEXACT or form == "float32" or same.get(form)
        if may_count and quicker(time, forms.get(best.get(who))):
            best[who] = form
    times = {who: answers[form] for who, form in best.items()}
    beside = {"forms": forms, "counts": best, "equal": same}
    return rows.row(times, cost, disturbance) | beside


def others(row):
    """A line of the forms that do not count, and of which give other sums."""
    said = [
        f"{form} {time['median'] * 1e3:.2f} ms"
        f"{'' if row['equal'][form] else ' (other sums)'}"
        for form, time in row["forms"].items()
        if time and form not in row["counts"].values()
    ]
    return f"{'':4}beside: {', '.join(said)}"


def quicker(time, other):
    """Whether there is no other, or one that takes longer."""
    return other is None or (time is not None and time["median"] < other["median"])


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
    """Which forms' sums are refvlm's; refused where one gives others that may not."""
    sums = {
        form: peer.ask("digest", name=name, form=form) for form, peer in asked.items()
    }
    same = {form: each == sums["refvlm"] for form, each in sums.items() if each}
    for form, is_same in same.items():
        if not is_same and form not in INEXACT:
            raise RefusedError(f"{name}: {form} gives other sums")
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
