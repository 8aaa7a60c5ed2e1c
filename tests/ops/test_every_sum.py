"""What every operator does in few digits, and with many numbers.

Half precision is a way to store: everything is computed in single and rounded once. A
running sum of halves stops at 2,048 and their squares overflow at 256, so whatever was
summed or multiplied in half, or lost its epsilon there, gives other bits.

A running sum of single precision loses digits too, in thousands of numbers instead of
tens: see refvlm/sums.py. What a model adds up over all its rows, tokens and pixels (the
gradient of a bias, of a norm's scale, of what was broadcast) keeps five of them.
"""

import contextlib
import copy
import inspect

import numpy as np
import pytest

from refvlm import kernels, ops

from ..spec import (
    FLOATING,
    assert_close,
    call,
    cast,
    house,
    pulled_back,
    random_arrays,
)
from .test_every_call import ours as function_of
from .test_every_operator import CALLS, CONSTANTS, as_dtype

SIZES = {"large": 300.0, "small": 1e-4}  # whose squares overflow, or vanish
OTHERWISE = {
    "bfloat16_bits": "of each dtype it says something else",
    "round_to_bfloat16": "of each dtype it says something else",
    "round_to_float16": "of each dtype it says something else",
    "prefix_mask": "its numbers are 0 and 1",
}
ROWS, SHORT = 100_000, 30


draw = random_arrays(5)


def is_floating(value):
    return getattr(value, "dtype", None) in FLOATING


EACH = [
    pytest.param(name, case, id=f"{name}-{number}")
    for name, cases in CALLS.items()
    for number, case in enumerate(cases)
    if name not in OTHERWISE
    and any(map(is_floating, (*case.args, *case.options.values())))
]
WITH_VJP = [each for each in EACH if hasattr(ops, f"{each.values[0]}_vjp")]


def rescaled(case, size):
    """The arguments of a case as float16, floating arrays `size` times as large."""

    def half(value):
        return (value * size).astype(np.float16) if is_floating(value) else value

    args, options = copy.deepcopy((case.args, case.options))
    return [*map(half, args)], {name: half(value) for name, value in options.items()}


def in_single(args, options):
    """The same numbers as float32."""
    args, options = copy.deepcopy((args, options))
    args = [cast(value, np.float32) for value in args]
    return args, {name: cast(value, np.float32) for name, value in options.items()}


def assert_rounded_once(half, single):
    """The bits of the float32 result, rounded to float16; whole numbers as they are."""
    half, single = (r if isinstance(r, tuple) else (r,) for r in (half, single))
    for got, full in zip(half, single, strict=True):
        if full is not None:
            assert not is_floating(full) or got.dtype == np.float16
            with np.errstate(over="ignore", under="ignore"):
                full = cast(np.asarray(full), np.float16)
            np.testing.assert_array_equal(got, full)


# The contract does this, and a reader's function has none: a law of the house.
@house
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid", "ignore:divide")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name, case", EACH)
def test_operators_compute_half_precision_in_single(name, case, size):
    """float16 gives what the same numbers give in float32, rounded once: large ones,
    whose squares overflow, and small ones, beside which an epsilon vanishes."""
    args, options = rescaled(case, SIZES[size])
    same, so = in_single(args, options)
    half = getattr(ops, name)(*args, **options)
    assert_rounded_once(half, getattr(ops, name)(*same, **so))


def noted(operator, args, options, **beside):
    """What the vjp of an operator is given by name, in a call of it by hand."""
    bound = inspect.signature(operator).bind(*args, **options)
    bound.apply_defaults()
    traced = tuple(n for n, value in bound.arguments.items() if is_floating(value))
    return bound.arguments | {"needs": traced} | beside


@house
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid", "ignore:divide")
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name, case", WITH_VJP)
def test_derivatives_compute_half_precision_in_single(name, case, size):
    """Gradients of float16 are those of float32, rounded once."""
    operator, vjp = getattr(ops, name), getattr(ops, f"{name}_vjp")
    args, options = rescaled(case, SIZES[size])
    out = operator(*args, **options)
    out = out[0] if isinstance(out, tuple) else out
    d_out = (random_arrays(7)(*out.shape) * SIZES[size]).astype(np.float16)
    asks = inspect.signature(vjp).parameters
    given = noted(operator, args, options, out=out, d_out=d_out)
    given = {key: value for key, value in given.items() if key in asks}
    _, same = in_single((), given)
    assert_rounded_once(vjp(**given), vjp(**same))


def with_many_rows(name, case):
    """The case with a hundred thousand rows or pictures (of long ones, as many numbers)
    that are much alike in its first array, or None where it has no rows, or adds up
    along them by its formula."""
    (first, *others), contract = case.args, getattr(function_of(name), "contract", {})
    if not contract or not is_floating(first) or not first.size or name in OTHERWISE:
        return None
    rows, *beside = contract.values()
    leads = bool(rows.leading) and first.ndim > max(len(rows.names), 1)
    alone = not any(each.leading or "b" in each.names for each in beside)
    given = inspect.signature(getattr(ops, name)).bind(*case.args, **case.options)
    along = np.intersect1d(given.arguments.get("dim", ()), (0, -first.ndim)).size > 0
    if along or not alone or not (leads or rows.names[:1] == ("b",)):
        return None
    length = first[0].size
    count = ROWS if length <= SHORT else max(ROWS // length, 2)
    return case._replace(args=(rows_like(first[0], count, every=3), *others))


def rows_like(row, count, every):
    """`count` rows that are this one, or half of it every so often: a running total of
    equal numbers rounds them all in the same direction."""
    factors = np.where(np.arange(count) % every, 1.0, 0.5)
    return row * factors.reshape(-1, *[1] * row.ndim)


MANY = [
    pytest.param(name, with_many_rows(name, case), id=f"{name}-{number}")
    for name, cases in CALLS.items()
    for number, case in enumerate(cases)
    if hasattr(ops, f"{name}_vjp") and with_many_rows(name, case) is not None
]
# Operators with a derivative that the law below does not ask, and why.
SEVERAL = "its arrays have rows each, and what one row gets comes from one row"
SCATTERED = "it adds what is scattered one after the other, as PyTorch does"
NOT_ASKED = {
    **dict.fromkeys(
        ["apply_rotary", "attention_weights", "cosine_similarity"], SEVERAL
    ),
    **dict.fromkeys(["scaled_dot_product_attention", "cross_entropy"], SEVERAL),
    **dict.fromkeys(["binary_cross_entropy_with_logits", "kl_div"], SEVERAL),
    **dict.fromkeys(["lstm", "lstm_cell"], SEVERAL),
    **dict.fromkeys(["mse_loss", "nll_loss", "smooth_l1_loss"], SEVERAL),
    "solve": SEVERAL,
    **dict.fromkeys(["embedding", "gather", "group_sum"], SCATTERED),
    "masked_mean": "tests/test_sums.py asks it",
    "matmul": "it is a product, which BLAS sums",
}
# Its gradients are differences of long sums, and lose what these agree in.
DIFFERENCES = {"batch_norm": 5e-5}
# What a product of matrices sums, BLAS sums, for PyTorch as for NumPy.
BY_BLAS = {"linear": {1}, "conv2d": {1}, "conv3d": {1}, "conv_transpose2d": {1}}


def gradients(name, args, options):
    """The gradients of all floating arrays, by place, for a d_out of rows alike."""
    function = getattr(ops, name)
    out = function(*args, **options)
    fixed = CONSTANTS.get(name, set())
    wanted = [
        place
        for place, parameter in enumerate(inspect.signature(function).parameters)
        if place < len(args) and is_floating(args[place]) and parameter not in fixed
    ]
    d_out = rows_like(random_arrays(7)(*out.shape[1:]), len(out), every=6)
    d_out = d_out.astype(out.dtype)
    found = pulled_back(function, d_out, *args, wanted=wanted, **options)
    return {place: found[place] for place in wanted}


@house
@pytest.mark.parametrize("name, case", MANY)
def test_sums_over_many_rows_keep_their_digits(name, case):
    """The gradients of a hundred thousand numbers are in float32 what they are in
    float64, to 1e-5."""
    double = gradients(name, *as_dtype(case, np.float64))
    found = [gradients(name, *as_dtype(case, np.float32))]
    if name.endswith("_norm"):
        with kernels.definitions():
            found.append(gradients(name, *as_dtype(case, np.float32)))
    for single in found:
        for place, exact in double.items():
            if place not in BY_BLAS.get(name, ()):
                exact = exact.astype(np.float32)
                assert_close(single[place], exact, DIFFERENCES.get(name, 1e-5))


# Small samples, so that there can be very many.
THIN = {
    "layer_norm": call(draw(1, 6), (6,), draw(6), draw(6)),
    "rms_norm": call(draw(1, 6), (6,), draw(6)),
    "group_norm": call(draw(1, 6), 2, draw(6), draw(6)),
    "batch_norm": call(draw(1, 6), draw(6), np.abs(draw(6)), draw(6), draw(6)),
    "channel_layer_norm": call(draw(1, 3, 1, 1), draw(3), draw(3)),
}


@house
@pytest.mark.parametrize("definitions", [False, True])
@pytest.mark.parametrize("name", THIN)
def test_sums_over_very_many_rows_keep_their_digits(name, definitions):
    """Three hundred thousand samples of a few equal numbers, by kernel and by body."""
    case = THIN[name]
    row, beside = case.args[0], case.args[1:]
    many = case._replace(args=(np.repeat(row, 300_000, axis=0), *beside))
    ways = kernels.definitions() if definitions else contextlib.nullcontext()
    with ways:
        single = gradients(name, *as_dtype(many, np.float32))
        double = gradients(name, *as_dtype(many, np.float64))
    for place, exact in double.items():
        if place not in BY_BLAS.get(name, ()):
            assert_close(single[place], exact.astype(np.float32), 1e-5)


@house
def test_sums_over_many_rows_leave_nobody_out():
    """Every operator with a derivative is asked, or says why not."""
    asked = {case.values[0] for case in MANY}
    differentiable = {case.values[0] for case in WITH_VJP}
    assert differentiable - asked == NOT_ASKED.keys()
