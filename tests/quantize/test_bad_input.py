"""What every function of refvlm.quantize says of input that is wrong: one clear error.

A row of `TABLE` is a call that is right, and what each of its arguments is. A kind of
argument has its own slips, and every slip of every argument is tried: the error is a
ValueError (or a TypeError, where it is no array), and begins with the function's name
and tells the argument's.
"""

import inspect
from typing import Any, NamedTuple

import numpy as np
import pytest

from refvlm import quantize

from ..spec import contract, law, random_arrays

draw = random_arrays(0)


class Argument(NamedTuple):
    """A right value, and its kind: a key of `SLIPS`."""

    value: Any
    kind: str


def numbers(*shape):
    """Numbers, or none."""
    return Argument(draw(*shape).astype(np.float32), "numbers")


def some(*shape):
    """Numbers, and there are some."""
    return Argument(draw(*shape).astype(np.float32), "some numbers")


def samples(*shape):
    """Some numbers, perhaps in a list."""
    return Argument(draw(*shape).astype(np.float32), "samples")


def floats(*shape):
    """Numbers of which NaN, infinity and none at all are some."""
    return Argument(draw(*shape).astype(np.float32), "floats")


def steps(*shape):
    """Scales that may be whole numbers."""
    return Argument(scales(*shape).value, "steps")


def scales(*shape):
    return Argument(np.abs(draw(*shape)).astype(np.float32) + 1, "scales")


def whole(*numbers, dtype=np.uint8, kind="whole"):
    return Argument(np.array(numbers, dtype), kind)


def code(number, dtype=np.uint8):
    return Argument(np.array(number, dtype), "code")


def size(number):
    return Argument(number, "size")


def shape_of(*sizes):
    return Argument(sizes, "shape")


def name(text):
    return Argument(text, "name")


AXIS = Argument(1, "axis")


def replaced(array, place, value):
    array = np.array(array)
    array.flat[place] = value
    return array


NOT_AN_ARRAY = {
    "a list": lambda a: a.tolist(),
    "a text": lambda a: "weights",
}
NO_ARRAY = NOT_AN_ARRAY | {"None": lambda a: None}
NO_NUMBERS = {
    "whole numbers": lambda a: np.ones(a.shape, np.int64),
    "complex numbers": lambda a: a.astype(np.complex64),
    "objects": lambda a: a.astype(object),
}
NOT_FINITE = {
    "NaN": lambda a: replaced(a, -1, np.nan),
    "infinity": lambda a: replaced(a, 0, np.inf),
    "minus infinity": lambda a: replaced(a, 0, -np.inf),
}
NOT_WHOLE = {
    "floating numbers": lambda a: a.astype(np.float32),
    "truths": lambda a: a.astype(bool),
}
NO_NUMBER = {"None": lambda n: None, "a text": lambda n: str(n)}
SLIPS: dict[str, dict[str, Any]] = {
    "floats": NO_ARRAY | NO_NUMBERS,
    "numbers": NO_ARRAY | NO_NUMBERS | NOT_FINITE,
    "some numbers": NO_ARRAY
    | NO_NUMBERS
    | NOT_FINITE
    | {"nothing": lambda a: a[:0], "no columns": lambda a: a[..., :0]},
    "samples": {key: slip for key, slip in NO_ARRAY.items() if key != "a list"}
    | NO_NUMBERS
    | NOT_FINITE
    | {"nothing": lambda a: a[:0]},
    "scales": NO_ARRAY
    | NO_NUMBERS
    | NOT_FINITE
    | {
        "one too many": lambda a: np.append(a, np.ones(1, a.dtype)),
        "none": lambda a: a.ravel()[:0],
    },
    "steps": NO_ARRAY
    | NOT_FINITE
    | {
        "complex numbers": lambda a: a.astype(np.complex64),
        "objects": lambda a: a.astype(object),
        "one too many": lambda a: np.append(a, a[:1]),
        "a zero": lambda a: replaced(a, 0, 0),
        "a step back": lambda a: -a,
        "the least of all": lambda a: replaced(a, 0, 1e-45),
    },
    "zeros": NO_ARRAY | NOT_FINITE,
    "range": NOT_FINITE
    | NO_NUMBER
    | {"complex numbers": lambda a: a.astype(np.complex64)},
    "share": NO_ARRAY | NO_NUMBERS | NOT_FINITE | {"one": lambda a: a * 0 + 1},
    "bias": NOT_AN_ARRAY | NO_NUMBERS | {"one too many": lambda a: np.append(a, a[:1])},
    "whole": NO_ARRAY | NOT_WHOLE,
    "some whole": NO_ARRAY | NOT_WHOLE | {"nothing": lambda a: a[:0]},
    "nibbles": NO_ARRAY
    | NOT_WHOLE
    | {"16": lambda a: a + 16, "minus one": lambda a: a.astype(int) - 16},
    "trits": NO_ARRAY | NOT_WHOLE | {"2": lambda a: a * 2, "-2": lambda a: a - 1},
    "bytes": NO_ARRAY
    | NOT_WHOLE
    | {
        "a byte less": lambda a: a[..., :-1],
        "a byte more": lambda a: np.concatenate([a, a[..., :1]], -1),
        "words": lambda a: a.astype(np.uint64),
        "no axis": lambda a: a.ravel()[0].reshape(()),
    },
    "words": NO_ARRAY
    | NOT_WHOLE
    | {
        "a word less": lambda a: a[..., :-1],
        "a row less": lambda a: a[:-1],
        "bytes": lambda a: a.view(np.uint8),
        "with a sign": lambda a: a.view(np.int32),
        "no axis": lambda a: a.ravel()[0].reshape(()),
    },
    "code": NOT_AN_ARRAY | NOT_WHOLE | {"another dtype": lambda a: a.astype(np.int16)},
    "size": NO_NUMBER
    | {
        "zero": lambda n: 0,
        "minus one": lambda n: -1,
        "and a half": lambda n: n + 0.5,
        "NaN": lambda n: np.nan,
    },
    "offset": NO_NUMBER | {"two": lambda n: np.ones(2), "NaN": lambda n: np.nan},
    "block": NO_NUMBER | {"minus one": lambda n: -1, "a half": lambda n: 0.5},
    "level": NO_NUMBER | {"a half": lambda n: n + 0.5, "NaN": lambda n: np.nan},
    "axis": {
        "beyond": lambda n: 5,
        "a half": lambda n: 0.5,
        "a text": lambda n: "1",
    },
    "number": NO_NUMBER
    | {
        "NaN": lambda n: np.nan,
        "infinity": lambda n: np.inf,
    },
    "shape": {
        "a number": lambda s: 7,
        "a negative size": lambda s: (-1, *s[1:]),
        "an empty one": lambda s: (0, *s[1:]),
        "a larger one": lambda s: (s[0] + 2, *s[1:]),
        "halves": lambda s: tuple(n / 2 for n in s),
        "None": lambda s: None,
    },
    "name": {"another": lambda n: "int3.5", "a number": lambda n: 4},
}


NF4 = quantize.nf4_quantize(draw(6, 32))
GROUPS = quantize.group_quantize(draw(2, 64).astype(np.float32))
PACKED = {
    "codes": Argument(NF4[0], "bytes"),
    "absmax": Argument(NF4[1], "scales"),
    "shape": shape_of(6, 32),
    "block_size": size(64),
}
PRODUCT = {
    "a_scale": scales(1),
    "a_zero_point": code(2),
    "b": whole([1, 2, 3], [4, 5, 6]),
    "b_scale": scales(1),
    "b_zero_point": code(0),
}
TABLE = {
    "quantize_linear": {
        "x": numbers(3, 4),
        "y_scale": scales(4),
        "y_zero_point": Argument(np.arange(4, dtype=np.uint8), "code"),
        "axis": AXIS,
        "block_size": Argument(0, "block"),
        "output_dtype": name("uint8"),
    },
    "dequantize_linear": {
        "x": whole([1, 2], [3, 4]),
        "x_scale": scales(2),
        "x_zero_point": Argument(np.arange(2, dtype=np.uint8), "code"),
        "axis": AXIS,
        "block_size": Argument(0, "block"),
        "dtype": name("uint8"),
    },
    "dynamic_quantize_linear": {"x": some(3, 4)},
    "affine_parameters": {
        "low": Argument(-np.ones(3, np.float32), "range"),
        "high": Argument(np.ones(3, np.float32), "range"),
        "dtype": name("uint8"),
    },
    "symmetric_parameters": {
        "largest": Argument(np.ones(3, np.float32), "range"),
        "dtype": name("int8"),
    },
    "quantization_error": {"x": some(3, 4), "x_hat": numbers(3, 4)},
    "code_entropy": {"codes": whole(1, 2, 2, kind="some whole")},
    "round_to_float8": {"x": floats(3), "dtype": name("float8_e5m2")},
    "float8_bits": {"x": floats(3), "dtype": name("float8_e5m2")},
    "float8_from_bits": {
        "bits": Argument(np.arange(3, dtype=np.uint8), "whole"),
        "dtype": name("float8_e5m2"),
    },
    "round_to_float4": {"x": floats(3)},
    "float4_bits": {"x": floats(3)},
    "float4_from_bits": {"bits": whole(1, 2, 15)},
    "fake_quantize": {
        "x": numbers(3, 4),
        "scale": steps(4),
        "zero_point": whole(0, 1, 2, 3, dtype=np.int64),
        "quant_min": Argument(0, "level"),
        "quant_max": Argument(7, "level"),
        "axis": AXIS,
    },
    "learnable_fake_quantize": {
        "x": numbers(3, 4),
        "scale": scales(4),
        "zero_point": Argument(np.zeros(4, np.float32), "zeros"),
        "quant_min": Argument(0, "level"),
        "quant_max": Argument(7, "level"),
        "axis": AXIS,
        "grad_factor": Argument(0.5, "number"),
    },
    "straight_through": {"x": floats(3), "rounded": floats(3)},
    "step_grad_factor": {"count": size(5), "quant_max": size(7)},
    "first_step": {"x": some(3, 4), "quant_max": size(7), "axis": AXIS},
    "matmul_integer": {
        "a": whole([1, 2], [3, 4]),
        "b": whole([1, 2], [3, 4]),
        "a_zero_point": code(2),
        "b_zero_point": code(0),
    },
    "qlinear_matmul": {
        "a": whole([1, 2], [3, 4], [5, 6]),
        **PRODUCT,
        "y_scale": scales(1),
        "y_zero_point": code(0),
    },
    "conv_integer": {
        "x": whole([[[1, 2, 3]]]),
        "w": whole([[[1, 2]]]),
        "x_zero_point": code(1),
        "w_zero_point": code(1),
        "auto_pad": name("NOTSET"),
        "group": size(1),
    },
    "qlinear_conv": {
        "x": whole([[[1, 2, 3]]]),
        "x_scale": scales(1),
        "x_zero_point": code(1),
        "w": whole([[[1, 2]]]),
        "w_scale": scales(1),
        "w_zero_point": code(1),
        "y_scale": scales(1),
        "y_zero_point": code(1),
        "group": size(1),
    },
    "nf4_quantize": {"x": some(6, 32), "block_size": size(64)},
    "fp4_quantize": {"x": some(6, 32), "block_size": size(64)},
    "nf4_dequantize": {**PACKED, "dtype": name("float32")},
    "fp4_dequantize": {**PACKED, "dtype": name("float32")},
    "code_book_quantize": {
        "x": some(6, 32),
        "levels": numbers(16),
        "block_size": size(64),
    },
    "code_book_dequantize": {
        **PACKED,
        "levels": numbers(16),
        "dtype": name("float32"),
    },
    "linear_4bit": {
        "x": numbers(2, 32),
        **PACKED,
        "bias": Argument(draw(6).astype(np.float32), "bias"),
        "quant_type": name("nf4"),
    },
    "normal_quantile": {"share": Argument(np.array([0.5, 0.25]), "share")},
    "pack_nibbles": {"codes": whole(1, 2, 15, kind="nibbles")},
    "unpack_nibbles": {"packed": whole(1, 2, 15, kind="bytes"), "count": size(6)},
    "pack_bits": {"codes": whole(1, 2, 7, kind="nibbles"), "bits": size(3)},
    "unpack_bits": {
        "packed": whole(1, 2, 7, kind="bytes"),
        "bits": size(3),
        "count": size(8),
    },
    "pack_trits": {"values": whole(-1, 0, 1, dtype=np.int8, kind="trits")},
    "unpack_trits": {"packed": whole(1, 2, 242, kind="bytes"), "count": size(15)},
    "group_quantize": {
        "w": some(2, 64),
        "group_size": size(64),
        "bits": size(4),
    },
    "group_dequantize": {
        "packed": Argument(GROUPS[0], "words"),
        "scales": Argument(GROUPS[1], "scales"),
        "biases": Argument(GROUPS[2], "scales"),
        "group_size": size(64),
        "bits": size(4),
    },
    "ternary_quantize": {"w": some(3, 4), "eps": Argument(1e-5, "number")},
    "ternary_dequantize": {
        "values": whole(-1, 0, 1, dtype=np.int8, kind="trits"),
        "scale": scales(),
    },
    "ternary_linear": {
        "x": numbers(2, 4),
        "weight": some(3, 4),
        "bias": Argument(draw(3).astype(np.float32), "bias"),
    },
    "min_max_range": {"x": samples(3, 4), "axis": AXIS},
    "moving_average_range": {
        "x": samples(3, 4),
        "averaging": Argument(0.5, "number"),
        "axis": AXIS,
    },
    "percentile_range": {
        "x": samples(3, 4),
        "percentile": Argument(90.0, "number"),
        "axis": AXIS,
    },
    "mse_range": {
        "x": samples(3, 4),
        "dtype": name("uint8"),
        "candidates": size(8),
        "axis": AXIS,
    },
    "histogram": {"x": samples(3, 4), "bins": size(8)},
    "double_quantize": {"absmax": some(6), "block_size": size(256)},
    "double_dequantize": {
        "codes": whole(1, 2, 3, kind="whole"),
        "nested_absmax": scales(1),
        "offset": Argument(np.float32(1), "offset"),
        "block_size": size(256),
    },
}

# Whoever passes its arguments on lets the other one speak.
SPEAKS_FOR = {
    "nf4_quantize": ("code_book_quantize",),
    "fp4_quantize": ("code_book_quantize",),
    "nf4_dequantize": ("code_book_dequantize",),
    "fp4_dequantize": ("code_book_dequantize",),
    "linear_4bit": ("code_book_dequantize", "linear"),
    "round_to_float8": ("float8_bits",),
    "round_to_float4": ("float4_bits",),
}
# Arguments that are no arrays of numbers of their own, or are none.
ELSEWHERE = {
    "entropy_range": "takes what `histogram` made",
    "narrowed_range": "takes what `histogram` made",
    "sensitivities": "takes a model",
    "assign_widths": "takes tables of costs: tests/quantize/test_widths.py",
    "assign_by_greed": "takes tables of costs: tests/quantize/test_widths.py",
    "integer_format": "takes a name",
    "number_format": "takes a name",
    "rounding_noise": "is a formula of one number",
    "nf4_levels": "takes nothing",
    "fp4_levels": "takes nothing",
    "dynamic_map": "takes nothing",
}
EACH = [
    pytest.param(function, argument, slip, id=f"{function}-{argument}-{slip}")
    for function, arguments in TABLE.items()
    for argument, (_, kind) in arguments.items()
    for slip in SLIPS[kind]
]


def arguments_of(function):
    return {key: argument.value for key, argument in TABLE[function].items()}


@contract
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("function, argument, slip", EACH)
def test_bad_input_is_one_clear_error(function, argument, slip):
    """It names the function that was called, and the argument that is wrong."""
    value, kind = TABLE[function][argument]
    arguments = arguments_of(function) | {argument: SLIPS[kind][slip](value)}
    with pytest.raises((ValueError, TypeError)) as caught:
        getattr(quantize, function)(**arguments)
    said = str(caught.value)
    speakers = function, *SPEAKS_FOR.get(function, ())
    assert said.startswith(tuple(f"{speaker}: " for speaker in speakers))
    assert argument in said and len(said) < 400


@contract
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("function", TABLE)
def test_bad_input_is_told_from_good(function):
    """The calls that are spoilt here are right before."""
    getattr(quantize, function)(**arguments_of(function))


SUMS = {"linear_4bit", "ternary_linear"}  # of which one may well be infinite
WIDE = {
    (function, argument)
    for function in TABLE.keys() - SUMS
    for argument, (_, kind) in TABLE[function].items()
    if kind in ("numbers", "some numbers", "samples", "floats")
    and argument not in ("levels", "absmax")
}


@law
@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("size", [1e-45, 1e-39, 1e38, 3e38, 0.0])
@pytest.mark.parametrize("function, argument", sorted(WIDE))
def test_bad_input_is_not_what_is_tiny_or_huge(function, argument, size):
    """Numbers near the ends of float32 give finite ones, without a warning, or are
    refused by name where the format has no room for them."""
    arguments = arguments_of(function)
    signs = np.sign(arguments[argument]) * (np.abs(arguments[argument]) > 0.1)
    arguments[argument] = (signs * size).astype(np.float32)
    try:
        result = getattr(quantize, function)(**arguments)
    except ValueError as error:
        assert str(error).startswith(f"{function}: {argument}") and size > 1e37
        return
    for each in result if isinstance(result, tuple) else (result,):
        assert np.isfinite(each).all() or function == "quantization_error"


@contract
def test_bad_input_leaves_nobody_out():
    """Whatever `refvlm.quantize` offers has a row, or says why it has none."""
    offered = {
        name
        for name, value in vars(quantize).items()
        if inspect.isfunction(value) and not name.endswith("_vjp")
    }
    assert offered == TABLE.keys() | ELSEWHERE.keys()


@contract
@pytest.mark.parametrize("function", [f for f in TABLE if "block_size" in TABLE[f]])
def test_blocks_are_no_larger_than_any_array(function):
    """2**63 is no number of NumPy's."""
    for size in (2**31 + 1, 2**63, 2**80):
        with pytest.raises(ValueError, match="block_size must be .* at most"):
            getattr(quantize, function)(**arguments_of(function) | {"block_size": size})
