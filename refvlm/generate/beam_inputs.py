"""What a beam search is given, and what its callers' functions give it, checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Set
from typing import NamedTuple

import numpy as np

from .. import ops
from ..arguments import check_whole, is_number, is_whole

LARGEST_POWER = 50.0  # of e: what a length may become, and float32 still rank by it


class Wanted(NamedTuple):
    """What a search is asked for, by the names that `beam_search` has for it."""

    max_new_tokens: int
    num_beams: int
    length_penalty: float
    early_stopping: bool | str
    stops: np.ndarray


def arrays(logits, prompt):
    """Both as arrays, a row of each for each prompt; float16 is summed in float32."""
    logits, prompt = np.asarray(logits), np.asarray(prompt)
    if logits.ndim != 2 or logits.dtype.kind != "f" or logits.shape[1] == 0:
        raise ValueError(
            "beam_search: logits must be floating numbers (b, vocabulary), not "
            f"{logits.dtype} {logits.shape}"
        )
    if prompt.ndim != 2 or prompt.dtype.kind not in "iu" or len(prompt) != len(logits):
        raise ValueError(
            f"beam_search: prompt must be whole numbers (b, t) with b = {len(logits)}, "
            f"a row for each of logits, not {prompt.dtype} {prompt.shape}"
        )
    return logits.astype(np.result_type(logits, np.float32), copy=False), prompt


def stops_of(stop_ids, vocabulary):
    """The stop ids in the order given, those of a set in their own."""
    several = isinstance(stop_ids, Iterable)
    stops = list(stop_ids) if several else []
    known = all(is_whole(stop) and 0 <= stop < vocabulary for stop in stops)
    if not several or not known:
        raise ValueError(
            "beam_search: stop_ids must be whole numbers from 0 to "
            f"{vocabulary - 1}, the vocabulary's last, not {stop_ids!r:.60}"
        )
    stops = sorted(stops) if isinstance(stop_ids, Set) else stops
    return np.array(stops, np.int64)


def checked(wanted, num_return_sequences):
    """Whole numbers, no more texts than are kept, a penalty that can be computed."""
    limit, num_beams, penalty, early_stopping, _ = wanted
    check_whole("beam_search", max_new_tokens=limit)
    check_whole("beam_search", least=1, num_beams=num_beams)
    check_whole("beam_search", least=1, num_return_sequences=num_return_sequences)
    if num_return_sequences > num_beams:
        raise ValueError(
            f"beam_search: num_return_sequences is {num_return_sequences}, but "
            f"num_beams is {num_beams}, and no more texts than beams are kept"
        )
    check_penalty("beam_search", penalty, limit)
    never = isinstance(early_stopping, str) and early_stopping == "never"
    if not isinstance(early_stopping, bool) and not never:
        raise ValueError(
            'beam_search: early_stopping must be True, False or "never", not '
            f"{early_stopping!r:.60}"
        )
    return wanted._replace(length_penalty=float(penalty))


def check_penalty(function: str, penalty, max_new_tokens: int) -> None:
    """Refuse a power by which no length of a text could be compared."""
    largest = LARGEST_POWER / math.log(max(max_new_tokens, math.e))
    if not is_number(penalty) or not abs(penalty) <= largest:
        raise ValueError(
            f"{function}: length_penalty must be a number, 1 as a rule, and with "
            f"max_new_tokens = {max_new_tokens} from {-largest:.1f} to {largest:.1f}, "
            f"not {penalty!r:.60}"
        )


def log_probabilities(logits):
    """Those of a row sum to one: the rows that cannot be so are named."""
    with np.errstate(invalid="ignore"):  # what is not a number is refused
        return _numbers("logits", ops.log_softmax(logits))


def _numbers(name, log_probs):
    """Log-probabilities, none of which is nan or +inf."""
    good = (log_probs < np.inf).all(axis=1)
    if not good.all():
        raise ValueError(
            f"beam_search: row {int(np.argmin(good))} of the {name} is not a "
            "distribution: it holds nan or +inf, or is -inf throughout"
        )
    return log_probs


def ruled(rules, log_probs, so_far):
    """What `rules` make of log-probabilities: as many, and numbers."""
    changed = _alike("rules", "a log-probability", rules(log_probs, so_far), log_probs)
    return _numbers("log-probabilities after the rules", changed)


def stepped(step, ids, log_probs):
    """The log-probabilities after a step."""
    return log_probabilities(_alike("step", "a logit", step(ids), log_probs))


def _alike(function, what, given, before):
    """As many as before, and of the same precision."""
    given = np.asarray(given)
    if given.shape != before.shape or given.dtype.kind != "f":
        raise ValueError(
            f"beam_search: {function} must give floating numbers {before.shape}, "
            f"{what} for each beam and token, not {given.dtype} {given.shape}"
        )
    return given.astype(before.dtype, copy=False)
