"""What may be said of any function that breaks a law, each proved by an experiment."""

import copy

import numpy as np

from refvlm.autodiff import value_of

from .proofs import proved
from .witness import same_numbers

WIDER = (
    "The result is wider than what came in. A NumPy scalar does that, such as "
    "1/np.sqrt(d), and so do np.zeros and np.arange without a dtype; math.sqrt(d) does "
    "not."
)
WRITTEN = (
    "It writes into an array that it was given: `x -= 1` changes the caller's, "
    "`x = x - 1` makes a new one."
)
NOTHING = "It returns nothing: is there a `return`?"
EMPTY = (
    "Of no numbers there is no largest, unless it begins somewhere: "
    "`x.max(axis=dim, keepdims=True, initial=-np.inf)`."
)
AXES = (
    "The numbers are as many as they should be, in other axes: keepdims=True keeps an "
    "axis of length 1, and without it the axis is gone."
)
HALF = (
    "It is right in float32 and not in float16: half precision overflows at 65,504 and "
    "stops counting at 2,048. Compute in float32 (`x.astype(np.float32)`), and round "
    "once, at the end."
)
NO_MAXIMUM = "zero-size array to reduction operation maximum"  # NumPy's words


def hints(name, function, original, calls):
    """The sentences that these calls prove, general ones first."""
    answers = [(call, call.again(original)[0]) for call in calls]
    answers = [(call, right) for call, right in answers if right is not None]
    said = [
        sentence
        for sentence, proof in (
            (NOTHING, lambda call, right: call.result is None and call.error is None),
            (WRITTEN, lambda call, right: call.written),
            (WIDER, _wider),
            (EMPTY, lambda call, right: NO_MAXIMUM in str(call.error)),
            (AXES, _other_axes),
            (HALF, lambda call, right: _right_in_single(call, right, function)),
        )
        if any(proof(call, right) for call, right in answers)
    ]
    forward = [call for call in calls if call.d_out is None]
    backward = [call for call in calls if call.d_out is not None]
    said += proved(name, original, forward)
    return said + proved(f"{name}_vjp", original, backward)


def _each(call, right):
    """(came, expected), array by array."""
    if isinstance(right, tuple | list):
        came = call.result if isinstance(call.result, tuple | list) else ()
        pairs = zip(came, right)
    else:
        pairs = [(call.result, right)]
    pairs = [tuple(map(value_of, pair)) for pair in pairs]
    return [p for p in pairs if all(hasattr(value, "dtype") for value in p)]


def _wider(call, right):
    return call.d_out is None and any(
        came.dtype.kind == expected.dtype.kind == "f"
        and came.dtype.itemsize > expected.dtype.itemsize
        for came, expected in _each(call, right)
    )


def _other_axes(call, right):
    return any(
        np.shape(came) != np.shape(expected)
        and np.squeeze(came).shape == np.squeeze(expected).shape
        for came, expected in _each(call, right)
    )


def _right_in_single(call, right, function):
    """Wrong in half precision, and right on the same numbers in single."""
    pairs = _each(call, right)
    if call.d_out is not None or not pairs or pairs[0][1].dtype != np.float16:
        return False
    if all(_same_in_half(came, expected) for came, expected in pairs):
        return False
    single = copy.copy(call)
    single.args = tuple(map(_in_single, call.args))
    single.options = {name: _in_single(v) for name, v in call.options.items()}
    result, error = single.again(function)
    if error is not None or not hasattr(result, "dtype"):
        return False
    return _same_in_half(result, pairs[0][1])


def _same_in_half(came, expected):
    if came.shape != expected.shape:
        return False
    with np.errstate(over="ignore"):
        return same_numbers(came.astype(np.float16), expected, 1e-2)


def _in_single(value):
    half = getattr(value, "dtype", None) == np.float16
    return value.astype(np.float32) if half else value
