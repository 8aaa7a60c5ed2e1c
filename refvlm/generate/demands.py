"""Demands: what a rule of sampling asks of its arguments beyond their shapes.

As in `ops.demands`, each names the arguments that it needs, and raises an error that
says what to do.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from ..arguments import check_whole, is_number, is_whole
from ..shapes import ShapeError

NO_CHANCE = {
    "nan": "holds nan: look at what gave the scores",
    "inf": "holds inf, a score beyond its dtype: give them in a wider one",
    "-inf": "has no token left, since every score is -inf: loosen the rules",
}


def some_tokens(function, logits):
    """Of no tokens none can stay."""
    if not logits.shape[-1]:
        raise ShapeError(f"{function}: logits {logits.shape} have no tokens")


def ids_of_the_rows(function, logits, ids):
    """A row of tokens for each row of scores."""
    if logits.shape[:-1] != ids.shape[:-1]:
        raise ShapeError(
            f"{function}: ids {ids.shape} are not the tokens of the rows of logits "
            f"{logits.shape}"
        )


def a_temperature(temperature):
    """Above 0, and a number."""
    if not _is_positive(temperature):
        raise ValueError(
            f"temperature: temperature is a number above 0, not {temperature!r:.60}; "
            "to take the likeliest token, choose greedily (generate.greedy)"
        )


def a_penalty(penalty):
    """Above 0, and a number."""
    if not _is_positive(penalty):
        raise ValueError(
            f"repetition_penalty: penalty is a number above 0, not {penalty!r:.60}; "
            "1 changes nothing, above 1 it punishes"
        )


def _is_positive(number):
    is_real = is_number(number) and not isinstance(number, bool)
    return is_real and 0 < number < math.inf


def a_share(function, p):
    """Something of the whole, and no more than the whole."""
    if not is_number(p) or isinstance(p, bool) or not 0 < p <= 1:
        raise ValueError(
            f"{function}: p is a share above 0 and at most 1, not {p!r:.60}; to rule "
            "nothing out, leave the rule out"
        )


def at_least_one(function, least):
    """Whatever a rule says, a token stays."""
    if not is_whole(least) or least < 1:
        raise ValueError(
            f"{function}: least must be a whole number of at least 1, not {least!r:.60}"
        )


def stops_of_the_vocabulary(logits, new, least, stop_ids):
    """Counts of tokens, and stops that can be said."""
    check_whole("min_new_tokens", new=new)
    if not is_whole(least) or least < 0:
        raise ValueError(
            f"min_new_tokens: least must be a whole number, 0 or more, not "
            f"{least!r:.60}"
        )
    if not isinstance(stop_ids, (Collection, np.ndarray)) or isinstance(stop_ids, str):
        raise ValueError(
            f"min_new_tokens: stop_ids are a list, even of one, not {stop_ids!r:.60}"
        )
    for stop in stop_ids:
        if not is_whole(stop) or not 0 <= stop < logits.shape[-1]:
            raise ValueError(
                f"min_new_tokens: stop id {stop!r:.60} is not in a vocabulary of "
                f"{logits.shape[-1]} tokens"
            )


def a_chance(function, logits):
    """In every row some token, with scores that are numbers."""
    for number, top in enumerate(logits.reshape(-1, logits.shape[-1]).max(axis=-1)):
        if not np.isfinite(top):
            raise ValueError(f"{function}: row {number} {NO_CHANCE[str(top)]}")


def a_generator_or_one_a_row(logits, rng):
    """NumPy's generators, which give the same numbers on every machine."""
    check_rng("sample", rng, math.prod(logits.shape[:-1]))


def check_rng(function: str, rng, rows: int) -> None:
    """Refuse what is neither a generator nor a list of as many as there are rows."""
    several = list(rng) if isinstance(rng, Sequence) else [rng]
    if not all(isinstance(each, np.random.Generator) for each in several):
        raise ValueError(
            f"{function}: rng is a generator, as np.random.default_rng(seed) makes "
            f"one, or a list of one for each row, not {rng!r:.60}"
        )
    if isinstance(rng, Sequence) and len(several) != rows:
        raise ValueError(
            f"{function}: rng has {len(several)} generators for {rows} rows: give one "
            "for all, or one for each"
        )


def still_numbers(function, before, after, number):
    """No score outgrows its dtype."""
    if (np.isfinite(before) & ~np.isfinite(after)).any():
        raise ValueError(
            f"{function}: {number!r} takes a score beyond {after.dtype}: give a number "
            "nearer to 1"
        )
