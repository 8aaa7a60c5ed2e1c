"""The spec of the hints: each slip is named where it was made, and nowhere else."""

import functools

import numpy as np
import pytest

from .impl import hints as general
from .impl.homes import home_of
from .impl.slips import SLIPS, explains, proved
from .impl.witness import Witness
from .ops.test_every_operator import CALLS
from .spec import law, pulled_back, random_arrays

ROWS = [
    pytest.param(name.removesuffix("_vjp"), row, id=f"{name}-{row.variant.__name__}")
    for row in SLIPS
    for name in row.operators
]
# Calls that tell two functions apart where CALLS, which vary the options, do not.
TELLING = {
    "softmax": [(np.array([0.0, 1000.0]),), (random_arrays(1)(4, 4), 0)],
    "log_softmax": [(np.array([0.0, 1000.0]),), (random_arrays(1)(4, 4), 0)],
    "linear": [(random_arrays(2)(3, 4), random_arrays(3)(4, 4))],
    "layer_norm": [(random_arrays(4)(2, 3), (3,), None, None, 0.1)],
    "rms_norm": [(random_arrays(4)(2, 3), (3,), None, 0.1)],
    "max_pool2d": [(-np.ones((1, 4, 4)), 3, 1, 1)],
    "avg_pool2d": [(np.ones((1, 4, 4)), 3, 1, 1)],
    "embedding": [(np.array([1, 1, 0]), random_arrays(5)(3, 2), 0)],
    "apply_rotary": [
        (random_arrays(6)(3, 4), *np.full((2, 3, 2), 0.5)),
        (random_arrays(6)(3, 4), *np.full((2, 3, 2), 0.5), True),
    ],
    "scaled_dot_product_attention": [tuple(random_arrays(7)(3, 2, 4, 5))],
    "cross_entropy": [(random_arrays(8)(3, 4), np.array([1, -100, 0]))],
}


def calls_of(name, function, backward):
    """What a witness sees of a function's calls, and of its derivative's."""
    original = getattr(home_of(name), name)
    calls = [(c.args, c.options) for c in CALLS.get(name, [])]
    calls += [(args, {}) for args in TELLING.get(name, [])]
    witness = Witness(original if backward else function)
    for args, options in calls:
        try:
            with np.errstate(all="ignore"):
                out = witness.watched()(*args, **options)
        except Exception:
            continue
        if backward:
            d_out = random_arrays(9)(*out.shape)
            gradients = functools.partial(function, args=args, options=options)
            witness.watched_vjp(lambda d_out, g=gradients: g(d_out))(d_out)
    return [call for call in witness.calls if (call.d_out is not None) == backward]


def made(name, row):
    """The slip as a reader's function, and the calls that it answered."""
    original = getattr(home_of(name), name)
    backward = row.operators[0].endswith("_vjp")
    if backward:

        def function(d_out, args, options):
            return row.variant(original, d_out, *args, **options)

    else:
        function = functools.partial(row.variant, original)
        function = functools.wraps(original)(function)
    return original, calls_of(name, function, backward), backward


@pytest.mark.parametrize("name, row", ROWS)
@law
def test_slips_get_their_sentence(name, row):
    """Who makes the slip is told of it, and of no other."""
    original, calls, backward = made(name, row)
    asked = f"{name}_vjp" if backward else name
    assert proved(asked, original, calls) == [row.sentence]


@pytest.mark.parametrize("name, row", ROWS)
@law
def test_slips_are_not_told_of_a_right_function(name, row):
    """Our own function makes none; nor does one with another mistake."""
    original = getattr(home_of(name), name)
    backward = row.operators[0].endswith("_vjp")

    def right(d_out, args, options):
        return tuple(pulled_back(original, d_out, *args, **options))

    asked = f"{name}_vjp" if backward else name
    calls = calls_of(name, right if backward else original, backward)
    assert proved(asked, original, calls) == []
    if not backward:
        other = functools.wraps(original)(lambda *a, **o: original(*a, **o) + 1)
        assert proved(asked, original, calls_of(name, other, False)) == []


def shift(x):
    return x - x.mean(0)


def with_double(x):
    return x - x.mean(0) * np.float64(1)


def in_place(x):
    x -= x.mean(0)
    return x


def without_return(x):
    shift(x)


def in_half(x):
    return x - x.cumsum(0, x.dtype)[-1] / x.dtype.type(len(x))


@pytest.mark.parametrize(
    "function, sentence",
    [
        (shift, None),
        (with_double, general.WIDER),
        (in_place, general.WRITTEN),
        (without_return, general.NOTHING),
        (in_half, general.HALF),
        (lambda x: shift(x)[..., None], general.AXES),
    ],
    ids=["right", "wider", "written", "nothing", "half", "axes"],
)
@law
def test_general_hints_are_proved_by_the_calls(function, sentence):
    """Each is said of the function that earns it, and of no other."""

    def exact(x):
        return shift(x.astype(np.float64)).astype(x.dtype)

    witness = Witness(function)
    for dtype in (np.float64, np.float32, np.float16):
        witness.watched()(np.full((4000, 1), 3.0, dtype))
        witness.watched()(random_arrays(3)(5, 2).astype(dtype))
    told = general.hints("shift", function, exact, list(witness.calls))
    assert told == ([sentence] if sentence else [])


@law
def test_a_slip_that_is_never_wrong_explains_nothing():
    """Where the slip and the truth agree on all calls, there is nothing to tell."""
    witness = Witness(np.negative)
    witness.watched()(np.ones(3))
    assert not explains(np.negative, np.negative, witness.calls)
