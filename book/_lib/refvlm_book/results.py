"""What the benchmarks measured, as the chapters show it.

Nothing is timed while the book is built. `python -m benchmarks...` writes its records
to benchmarks/results/KIND/NAME.json, a folder for each kind of processor, and the pages
read them from there. Where a record says what cannot be, the page is not built.
"""

from __future__ import annotations

import functools
from pathlib import Path

from benchmarks import believable, records

RESULTS = Path(__file__).resolve().parents[3] / "benchmarks" / "results"
INSTRUCTIONS = {
    "native": "each library choosing its own instructions",
    "avx2": "all libraries held to AVX2",
    "given": "instructions as the environment has them",
}
TITLES = {"python": "Python", "numpy": "NumPy", "torch": "PyTorch"}


def kinds(name: str | None = None) -> list[str]:
    """The kinds of processor with records, or with a record of this name."""
    folders = sorted(path.parent.name for path in RESULTS.glob(f"*/{name or '*'}.json"))
    return list(dict.fromkeys(folders))


def load(name: str, kind: str | None = None) -> dict:
    """The record NAME of a kind of processor; of the first that has it by default."""
    having = kinds(name)
    if kind is None and having:
        kind = having[0]
    if kind not in having:
        known = ", ".join(f"{of} on {k}" for k in kinds() for of in believed(k))
        raise FileNotFoundError(
            f"no record {name!r}{f' on {kind}' if kind else ''} in benchmarks/results "
            f"(there are: {known or 'none'}); benchmarks/README.md says how to make one"
        )
    return believed(kind)[name]


def believed(kind: str) -> dict[str, dict]:
    """name -> record of one kind of processor, none of which says what cannot be."""
    return _believed(RESULTS / kind)


@functools.cache
def _believed(folder):
    found = records.load_all(folder)
    if faults := believable.faults(found):
        raise ValueError(f"benchmarks/results/{folder.name}: " + "; ".join(faults))
    return found


def measured_on(record: dict) -> str:
    """Machine, versions and date of a record, in words."""
    machine, settings = record["machine"], record["settings"]
    cores, threads = machine["cores"], settings["threads"]
    number = f"family {machine['family']}, model {machine['model']}"
    words = [
        f"{machine['processor']} ({number}, {machine['instructions']})",
        f"{cores} core{'s' * (cores != 1)}"
        + ("" if threads == cores else f", of which {threads} in use"),
        INSTRUCTIONS[settings["kernels"]],
        *(f"{TITLES.get(n, n)} {v}" for n, v in record["versions"].items()),
    ]
    if record["disturbance"] is not None:  # where something was timed
        words.append(f"other programs took at most {record['disturbance']:.0%} of it")
    return "; ".join([*words, f"measured on {record['measured']}"])


def title(record: dict) -> str:
    """The kind of processor in a few words, the head of a column."""
    machine, kernels = record["machine"], record["settings"]["kernels"]
    name = f"{machine['processor']} {machine['family']}-{machine['model']}"
    return f"{name}, AVX2 only" if kernels == "avx2" else name


def span(values, form: str) -> str:
    """What some kinds of processors have in common: a number, or from one to another.

    >>> span([1.31, 0.32], "{:.1f}"), span([2, 2], "{:.0f}")
    ('0.3 to 1.3', '2')
    """
    values = list(values)
    low, high = form.format(min(values)), form.format(max(values))
    return low if low == high else f"{low} to {high}"


def verdict(ratio: float) -> str:
    """A ratio of times in words: below 1, NumPy is faster.

    >>> verdict(0.5), verdict(1.25)
    ('is 2.0 times as fast', 'takes 1.25 times as long')
    """
    if ratio < 1:
        return f"is {1 / ratio:.1f} times as fast"
    return f"takes {ratio:.2f} times as long"
