"""So many right of so many: what a record holds that counts and times nothing.

A case of "counts" has a run for each seed of training, or one alone, with its "shares",
{heading: [[right, asked], ...]}, a pair for each seed of scenes; of a model in few bits
also the bytes of its file and the bits of a weight. What other programs did meanwhile
does not matter, and is not said; nor do the roofs of the processor.
"""

from __future__ import annotations

import statistics

LEAST = 1e-3  # a share of none right is compared as this


def is_of_counts(record):
    """Whether it is a record that times nothing."""
    return "counts" in record


def shares(case, heading):
    """The share of every run, all seeds of scenes together.

    >>> case = {"runs": [{"shares": {"captions": [[3, 4], [4, 4]]}}]}
    >>> shares(case, "captions")
    [0.875]
    """
    return [
        sum(right for right, _ in pairs) / sum(asked for _, asked in pairs)
        for pairs in (run["shares"][heading] for run in case["runs"])
    ]


def summary(case, heading):
    """(mean, least, largest) over the runs; of a single one over the seeds of scenes.

    >>> case = {"runs": [{"shares": {"captions": [[3, 4], [4, 4]]}}]}
    >>> summary(case, "captions")
    (0.875, 0.75, 1.0)
    """
    some = shares(case, heading)
    mean = statistics.fmean(some)
    if len(some) == 1:
        pairs = case["runs"][0]["shares"][heading]
        some = [right / asked for right, asked in pairs]
    return mean, min(some), max(some)


def texts(cases, names, headings):
    """Rows of a table, as texts: a case's name, then for each heading the mean over its
    runs in hundredths, with the least and the largest where they differ.

    >>> runs = [{"shares": {"order": [[right, 100]]}} for right in (94, 98)]
    >>> texts({"memory": {"runs": runs}}, ["memory"], ["order"])
    [['memory', '96 (94-98)']]
    """
    rows = []
    for name in names:
        row = [name]
        for heading in headings:
            numbers = (100 * share for share in summary(cases[name], heading))
            mean, least, largest = (f"{number:.0f}" for number in numbers)
            row.append(mean if least == largest else f"{mean} ({least}-{largest})")
        rows.append(row)
    return rows


def figures(record):
    """(name, (share, spread, whether more is better)) of all that is compared."""
    for name, case in record.get("counts", {}).items():
        for heading in case["runs"][0]["shares"]:
            mean, least, largest = summary(case, heading)
            mean = max(mean, LEAST)
            yield f"{name}: {heading}", (mean, (largest - least) / mean, True)


def faults(record):
    """Shares that are none, bits that the file has no room for, seeds that are not
    there."""
    rounds = record.get("settings", {}).get("rounds")
    for name, case in record.get("counts", {}).items():
        for run in case["runs"]:
            for heading, pairs in run["shares"].items():
                if len(pairs) != rounds:
                    yield f"{name}: {heading} has {len(pairs)} rounds of {rounds}"
                if not all(0 <= right <= asked and asked for right, asked in pairs):
                    yield f"{name}: {heading} is no share"
            if "bits" in run and not has_room(run, record["models"][case["model"]]):
                bits = f"{run['bits']:.3g} bits a weight"
                yield f"{name}: {bits} do not fit into its bytes"
        seeds = [run["seed"] for run in case["runs"]]
        wanted = record["learning"]["seeds"] if case.get("learning") else [None]
        if seeds != wanted:
            yield f"{name}: it has runs of {seeds}, not of {wanted}"


def has_room(run, model):
    """Whether the bits of all rounded weights fit into the bytes of the file."""
    return 0 < run["bits"] * model["quantized"] / 8 <= run["bytes"]


def in_words(name, case):
    """The lines that a benchmark prints."""
    first = case["runs"][0]
    held = "{bits:.3f} bits a weight, {bytes:,} bytes" if "bits" in first else ""
    yield f"{name}: {held.format(**first)}".rstrip(": ")
    yield from told(case, first["shares"])


def told(case, headings):
    """A line for each heading: the mean, and from where to where it goes."""
    width = max(map(len, headings))
    for heading in headings:
        mean, least, largest = (100 * share for share in summary(case, heading))
        yield f"  {heading:{width}} {mean:5.1f} % ({least:.1f} to {largest:.1f})"
