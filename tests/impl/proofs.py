"""Which slips explain a reader's answers: all of them, and one that is wrong."""

import functools

import numpy as np

from .slips import SLIPS
from .witness import same_numbers


def proved(name, original, calls):
    """The sentences of the slips of `name` that explain these calls."""
    told = [
        row.sentence
        for row in SLIPS
        if name in row.operators
        and explains(functools.partial(row.variant, original), original, calls)
    ]
    return list(dict.fromkeys(told))


def explains(variant, original, calls):
    """Whether the variant answers all the calls as the reader's function did, and one
    of them wrongly."""
    wrong = 0
    for call in calls:
        if not _usable(call):
            continue
        answer, error = _answer(variant, call)
        expected, refused = call.again(original)
        if refused is not None or (call.error is not None and error is None):
            continue  # nothing to learn from it
        if error is not None:
            if type(error) is not type(call.error):
                return False
            wrong += 1
            continue
        if answer is None or _is_one_of(call.result, answer):
            continue  # another mistake's affair
        if not _agree(call.result, answer):
            return False
        wrong += not _agree(answer, expected)
    return wrong > 0


def _is_one_of(came, answer):
    """Whether one array came where several are due: an option that is ignored."""
    return isinstance(answer, tuple) and isinstance(came, np.ndarray)


def _usable(call):
    """Half precision rounds too much to tell one answer from another."""
    arrays = [v for v in (*call.args, *call.options.values()) if hasattr(v, "dtype")]
    return not any(array.dtype == np.float16 for array in arrays)


def _answer(variant, call):
    if call.d_out is None:
        return call.again(variant)
    try:
        return variant(call.d_out, *call.args, **call.options), None
    except Exception as error:
        return None, error


def _agree(came, expected):
    """The same numbers in the same places: dtypes are another matter."""
    if isinstance(expected, tuple):
        return isinstance(came, tuple) and all(
            a is None or b is None or _agree(a, b) for a, b in zip(came, expected)
        )
    if came is None or np.shape(came) != np.shape(expected):
        return False
    single = np.float32 in (getattr(a, "dtype", None) for a in (came, expected))
    return same_numbers(came, expected, 1e-4 if single else 1e-8)
