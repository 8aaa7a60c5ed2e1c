"""What a reader's function was asked, and what it answered.

A law says that something is wrong; a witness says what: of the calls that a law made,
the last whose answer is not that of refvlm's own function.
"""

import copy
import functools
import io
from collections import deque
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import numpy as np

from refvlm.autodiff import Variable

from ..spec import TOLERANCE, pulled_back

KEPT = 32  # calls of one law, the last ones: where hypothesis ends, it is the simplest


@dataclass
class Call:
    """One call: arguments as they came, and a result or an error."""

    args: tuple
    options: dict
    result: Any = None
    error: BaseException | None = None
    written: bool = False  # whether an argument was another one afterwards
    d_out: Any = None  # of a call on the way back: the gradient that came in

    def again(self, function):
        """The same call of another function: its result and its error."""
        args, options = copy.deepcopy((self.args, self.options))
        try:
            with np.errstate(all="ignore"), redirect_stdout(io.StringIO()):
                if self.d_out is None:
                    return function(*args, **options), None
                return _gradients(function, self.d_out, args, options), None
        except Exception as error:
            return None, error


class Witness:
    """Stands before a function, and remembers."""

    def __init__(self, function):
        self.function = function
        self.calls = deque(maxlen=KEPT)
        self.traced = False  # whether a Variable came in
        self.inside = False

    def watched(self):
        """The function to be called in place of the other, with its signature."""

        @functools.wraps(self.function)
        def call(*args, **options):
            if self.inside:
                return self.function(*args, **options)
            if any(_has_variable(value) for value in (*args, *options.values())):
                self.traced = True
                return self.function(*args, **options)
            return self._noted(args, options)

        return call

    def watched_vjp(self, vjp):
        """The same of its derivative, which belongs to the last call."""

        @functools.wraps(vjp)
        def call(d_out, **named):
            forward = self.calls[-1] if self.calls else None
            result = error = None
            try:
                result = vjp(d_out=d_out, **named)
                return result
            except Exception as raised:
                error = raised
                raise
            finally:
                if forward is not None:
                    gradients = result if isinstance(result, tuple) else (result,)
                    note = Call(forward.args, forward.options, gradients, error)
                    note.d_out = d_out.copy()
                    self.calls.append(note)

        return call

    def _noted(self, args, options):
        try:
            before = copy.deepcopy((args, options))
        except Exception:  # a generator, an open file: nothing to compare later
            return self.function(*args, **options)
        note = Call(*before)
        self.inside = True
        try:
            result = self.function(*args, **options)
            note.result = _copied(result)
            return result
        except BaseException as error:
            note.error = error
            raise
        finally:
            self.inside = False
            note.written = _arrays(args, options, before)
            self.calls.append(note)


def _gradients(function, d_out, args, options):
    return tuple(pulled_back(function, d_out, *args, **options))


def _has_variable(value):
    if isinstance(value, list | tuple):
        return any(map(_has_variable, value))
    return isinstance(value, Variable)


def _copied(result):
    try:
        return copy.deepcopy(result)
    except Exception:
        return result


def _arrays(args, options, before):
    """Whether an array among the arguments is not what it was."""
    pairs = [*zip(args, before[0]), *((options[n], before[1][n]) for n in options)]
    return any(
        isinstance(now, np.ndarray)
        and now.dtype != object
        and now.tobytes() != was.tobytes()
        for now, was in pairs
    )


def same(came, expected, tolerance=None):
    """Whether two results are one: structure, shapes, dtypes, and numbers up to
    rounding."""
    if isinstance(expected, tuple | list):
        return (
            type(came) is type(expected)
            and len(came) == len(expected)
            and all(same(a, b, tolerance) for a, b in zip(came, expected))
        )
    if came is None or expected is None:
        return came is expected
    if not hasattr(expected, "dtype"):
        try:
            return bool(np.all(came == expected))
        except Exception:
            return False
    return (
        getattr(came, "dtype", None) == expected.dtype
        and np.shape(came) == np.shape(expected)
        and same_numbers(
            came, expected, tolerance or TOLERANCE.get(str(expected.dtype))
        )
    )


def same_numbers(came, expected, tolerance=None):
    """Whether two arrays of one shape hold the same, NaN where NaN is."""
    came, expected = np.asarray(came), np.asarray(expected)
    if expected.dtype.kind != "f" or came.dtype.kind != "f":
        return bool((came == expected).all())
    came, expected = came.astype(np.float64), expected.astype(np.float64)
    finite = np.isfinite(expected)
    if not np.array_equal(came[~finite], expected[~finite], equal_nan=True):
        return False
    if not finite.any():
        return True
    scale = max(float(np.abs(expected[finite]).max()), np.finfo(np.float64).tiny)
    worst = np.abs(came[finite] - expected[finite]).max()
    return bool(worst <= (tolerance or 1e-6) * scale)


def differs(call, original):
    """Whether refvlm's own function answers the call in another way."""
    expected, error = call.again(original)
    if call.error is not None or error is not None:
        return (call.error is None) != (error is None)
    if call.d_out is not None:
        return any(
            b is not None and not same(a, b, 1e-6)
            for a, b in zip(call.result, expected)
            if a is not None
        )
    return not same(call.result, expected)
