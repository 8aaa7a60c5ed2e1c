"""A call and its answer in a line each, short enough to be read."""

import inspect

import numpy as np

WIDEST = 240


def of_value(value):
    """Numbers where they are few, else shape and dtype."""
    if isinstance(value, np.ndarray | np.generic):
        if 0 < value.size <= 6:
            numbers = np.array2string(
                np.asarray(value), precision=6, separator=", ", threshold=9
            )
            return f"{' '.join(numbers.split())} ({value.dtype})"
        return f"{value.dtype} of shape {value.shape}"
    if isinstance(value, tuple | list) and len(value) <= 4:
        inside = ", ".join(map(of_value, value))
        inside += "," if len(value) == 1 and isinstance(value, tuple) else ""
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    if inspect.isfunction(value):
        return value.__name__
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def of_call(name, call):
    """`softmax(float64 of shape (2, 3), dim=0)`."""
    parts = [of_value(value) for value in call.args]
    parts += [f"{key}={of_value(value)}" for key, value in call.options.items()]
    return cut(f"{name}({', '.join(parts)})")


def of_error(error):
    """Its kind and its words, in one line."""
    if isinstance(error, RecursionError):
        return "RecursionError: it calls itself, without end"
    if isinstance(error, SystemExit):
        return "SystemExit: it leaves Python, where it should return"
    return cut(f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": "))


def of_difference(expected, came):
    """(expected, came), each in words: the first thing in which the two part."""
    if not hasattr(expected, "dtype") or not hasattr(came, "dtype"):
        return of_value(expected), of_value(came)
    if np.shape(expected) != np.shape(came):
        return f"shape {np.shape(expected)}", f"shape {np.shape(came)}"
    if expected.dtype != came.dtype:
        return str(expected.dtype), str(came.dtype)
    if np.size(expected) <= 6:
        return of_value(expected), of_value(came)
    with np.errstate(all="ignore"):
        apart = np.abs(np.subtract(came, expected, dtype=np.float64))
    # Where only one of the two is nan or infinite they are furthest apart.
    same = (came == expected) | (np.isnan(came) & np.isnan(expected))
    apart = np.where(same, 0, np.nan_to_num(apart, nan=np.inf, posinf=np.inf))
    at = np.unravel_index(apart.argmax(), apart.shape)
    place = f"[{', '.join(map(str, at))}]"
    return f"{expected[at]:.6g} at {place}", f"{came[at]:.6g} at {place}"


def cut(text):
    """No more of it than a reader will read."""
    return text if len(text) <= WIDEST else f"{text[: WIDEST - 3]}..."
