"""What a law is made of: the vocabulary that every test file shares.

A test is marked by what kind of statement it is:

    example      small numbers that a person can check
    law          a property that holds for every input
    oracle       agreement with PyTorch (or transformers, timm) on random inputs
    derivative   the vjp against central differences
    contract     what bad input gets
    house        how this package is built, whatever stands in for its operators

`pytest --laws` prints them as an outline, `pytest --impl FILE` holds them against
a student's own functions.
"""

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refvlm.autodiff import Variable, backward

example = pytest.mark.example
law = pytest.mark.law
oracle = pytest.mark.oracle
derivative = pytest.mark.derivative
contract = pytest.mark.contract
house = pytest.mark.house

FLOATING = (np.float16, np.float32, np.float64)
KINDS = ("example", "law", "oracle", "derivative", "contract", "house")

# Of the largest magnitude in the reference: a few hundred roundings.
TOLERANCE = {"float64": 1e-12, "float32": 1e-5, "float16": 1e-2}


def assert_close(actual, expected, tolerance=None):
    """|actual - expected| <= tolerance x the largest |expected|; same shape, dtype.

    Infinities and NaNs have to stand in the same places.
    """
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, f"{actual.shape} is not {expected.shape}"
    assert actual.dtype == expected.dtype, f"{actual.dtype} is not {expected.dtype}"
    if tolerance is None:
        tolerance = TOLERANCE.get(expected.dtype.name, 0)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(actual[~finite], expected[~finite])
    if not finite.any():
        return
    actual, expected = actual[finite], expected[finite]
    error = np.abs(actual.astype(np.float64) - expected.astype(np.float64))
    scale = max(float(np.abs(expected).max()), np.finfo(np.float64).tiny)
    worst = float(error.max()) / scale
    assert worst <= tolerance, (
        f"off by {worst:.2e} of the largest value, more than {tolerance:.0e}: "
        f"{actual.flat[error.argmax()]!r} should be {expected.flat[error.argmax()]!r}"
    )


def random_arrays(seed=0):
    """draw(*shape): normal float64 numbers that float32 holds exactly.

    NumPy freezes the stream of RandomState, so recorded answers stay valid.
    """
    state = np.random.RandomState(seed)

    def draw(*shape, scale=1.0, shift=0.0):
        values = state.standard_normal(shape) * scale + shift
        return values.astype(np.float32).astype(np.float64)

    return draw


class Case(NamedTuple):
    """Positional arguments and options of one call of an operator."""

    args: tuple[Any, ...]
    options: dict[str, Any]


def call(*args, **options) -> Case:
    """`call(x, dim=0)` is the case `f(x, dim=0)`, for a test file's `CALLS`."""
    return Case(args, options)


def tensors(shape, low=-10.0, high=10.0, dtype=np.float64):
    """A hypothesis strategy: arrays of a shape, or of shapes from a strategy."""
    width = np.dtype(dtype).itemsize * 8
    elements = st.floats(low, high, width=width, allow_subnormal=False)
    return hnp.arrays(dtype, shape, elements=elements)


def shapes_of(ndim, largest=5):
    """A hypothesis strategy: shapes with `ndim` axes of 1 to `largest`."""
    return st.tuples(*[st.integers(1, largest)] * ndim)


def cast(value, dtype):
    """The floating arrays in `value` as `dtype`; everything else untouched."""
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        return value.astype(dtype)
    return value


def check_dtype(function, *args, **options):
    """dtype in = dtype out, and inputs are left as they were."""
    for dtype in (np.float16, np.float32, np.float64):
        given = [cast(value, dtype) for value in args]
        named = {name: cast(value, dtype) for name, value in options.items()}
        arrays = [v for v in (*given, *named.values()) if isinstance(v, np.ndarray)]
        before = [array.copy() for array in arrays]
        result = function(*given, **named)
        assert result.dtype == dtype, f"{np.dtype(dtype)} in, {result.dtype} out"
        for array, copy in zip(arrays, before):
            np.testing.assert_array_equal(array, copy, "an input was written to")


def pulled_back(operator, d_out, *args, wanted=None, **options):
    """One gradient for each positional argument, by the tape: None for what is none.

    `wanted` are the places of those to be asked for; every floating array unless given.
    """
    floating = [i for i, a in enumerate(args) if getattr(a, "dtype", None) in FLOATING]
    wanted = floating if wanted is None else wanted
    leaves = {i: Variable(args[i]) for i in wanted}
    out = operator(*[leaves.get(i, a) for i, a in enumerate(args)], **options)
    gradients = backward(out, d_out)
    return [gradients.get(leaves.get(i)) for i in range(len(args))]


def check_vjp(function, *args, tolerance=1e-6, step=1e-6, **options):
    r"""The vjp against central differences, in float64.

    For every floating input x with a gradient and a random $\bar y$: each entry of
    $\bar x$ must be $\langle \bar y, f(x + h e_i) - f(x - h e_i)\rangle / 2h$.
    """
    named = {**dict(enumerate(args)), **options}
    floating = {
        key: value
        for key, value in named.items()
        if isinstance(value, np.ndarray) and value.dtype.kind == "f"
    }

    def call(changed):
        given = [changed.get(i, value) for i, value in enumerate(args)]
        rest = {name: changed.get(name, value) for name, value in options.items()}
        return function(*given, **rest)

    out = call({})
    d_out = random_arrays(7)(*out.shape)
    leaves = {key: Variable(value) for key, value in floating.items()}
    traced = call(leaves)
    assert isinstance(traced, Variable), "the result does not depend on its inputs"
    assert_close(traced.value, out)
    with np.errstate(all="ignore"):
        gradients = backward(traced, d_out)
    for key, leaf in leaves.items():
        x = floating[key]
        expected = np.empty_like(x)
        for index in np.ndindex(x.shape):
            ahead, behind = x.copy(), x.copy()
            ahead[index] += step
            behind[index] -= step
            change = call({key: ahead}) - call({key: behind})
            expected[index] = (d_out * change).sum() / (2 * step)
        actual = gradients.get(leaf, np.zeros_like(x))
        scale = max(1.0, np.abs(expected).max())
        worst = np.abs(actual - expected).max() / scale
        assert worst <= tolerance, (
            f"the gradient of input {key!r} is off by {worst:.2e} from central "
            f"differences"
        )
