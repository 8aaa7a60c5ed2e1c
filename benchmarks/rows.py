"""A row: the times of everybody who did the same work, their ratios, and its floor's
ingredients (operations and bytes).

PyTorch stands in several forms (memory layouts, kinds of attention), of which the best
one counts. An opponent that cannot do the work has `null` for its time.
"""

from __future__ import annotations

import statistics

PYTORCH = ("contiguous", "channels_last", "sdpa", "eager")


def timing(samples):
    """Median and spread of some rounds: the middle half's width over the median.

    >>> timing([1.0, 2.0, 3.0])
    {'median': 2.0, 'spread': 0.5}
    """
    if samples is None:
        return None
    median = statistics.median(samples)
    if len(samples) < 2:
        return {"median": median, "spread": 0.0}
    low, _, high = statistics.quantiles(samples, n=4, method="inclusive")
    return {"median": median, "spread": (high - low) / median}


def row(answers, cost, disturbance):
    """The row of {who: seconds in each round}; `cost` has flops, bytes, working_set."""
    seconds = {who: timing(samples) for who, samples in answers.items()}
    return {
        **cost,
        "seconds": seconds,
        "better": better(seconds),
        "ratios": ratios(seconds),
        "disturbance": disturbance,
    }


def better(seconds):
    """PyTorch's form that took least, or None."""
    forms = [who for who in PYTORCH if seconds.get(who)]
    return min(forms, key=lambda who: seconds[who]["median"], default=None)


def ratios(seconds):
    """refvlm's median over PyTorch's best form's, and over each other opponent's.

    >>> ratios({"refvlm": {"median": 3}, "eager": {"median": 2}, "other": None})
    {'pytorch': 1.5, 'other': None}
    """
    ours, best = seconds["refvlm"]["median"], better(seconds)
    found = {"pytorch": ours / seconds[best]["median"]} if best else {}
    others = [who for who in seconds if who != "refvlm" and who not in PYTORCH]
    for who in others:
        found[who] = ours / seconds[who]["median"] if seconds[who] else None
    return found


def in_words(name, row):
    """One line of the table that a benchmark prints."""
    parts = [f"{name:44}"]
    for who, time in row["seconds"].items():
        if who not in PYTORCH or who == row["better"]:
            took = f"{time['median'] * 1e3:9.2f} ms" if time else "        - ms"
            parts.append(f"{who} {took}")
    parts += [f"ratio to {who} {r:.2f}" for who, r in row["ratios"].items() if r]
    return "  ".join(parts)
