"""What holds for every operator: a new one gets these laws by existing.

They are asked of its own cases: `CALLS` in the test file of its family, a list of calls
by the operator's name. What is said here of all is not said again of each.
"""

import copy
import importlib
import inspect
import sys
from pathlib import Path

import numpy as np
import pytest

import refvlm
from refvlm import kernels, ops
from refvlm.ops import compositions

from ..spec import FLOATING, assert_close, cast, house, law, pulled_back, random_arrays

CALLS = {
    name: calls
    for path in sorted(Path(__file__).parent.glob("test_*.py"))
    if not path.name.startswith("test_every_")
    for name, calls in getattr(
        importlib.import_module(f"{__package__}.{path.stem}"), "CALLS", {}
    ).items()
}
PACKAGE = Path(refvlm.__file__).parent
CHECKS = "ops/demands"
CONTRACTS = {  # who may come in, and the tape: not a part of any formula
    "arguments.py",
    "autodiff.py",
    "by_name.py",
    "kernels/__init__.py",
    CHECKS,
    "shapes.py",
    "variable.py",
}

# Operators without a vjp, and why.
FIXED = "made of whole numbers and options, or of booleans: nothing to differentiate"
COMPOSITE = "made of array operations, through which the tape knows its way"
WITHOUT_DERIVATIVE = {
    "add_positions": COMPOSITE,
    "additive_mask": FIXED,
    "argmax": "a place is a whole number",
    "batch_norm_statistics": "an average of what was, from which nobody learns",
    "ben_israel_cohen": COMPOSITE,
    "ben_israel_cohen_residuals": "a record of how it went, from which nobody learns",
    "bfloat16_bits": "bits are whole numbers",
    "bfloat16_from_bits": "bits are whole numbers",
    "convolve2d": "it is conv2d with the kernel flipped, and has its derivative",
    "boolean_mask": FIXED,
    "causal_mask": FIXED,
    "combine_masks": FIXED,
    "cosine_similarity_matrix": "made of normalize and a product",
    "flatten_maps": COMPOSITE,
    "patch_embedding": "made of patchify and linear, which have theirs",
    "prepend_tokens": COMPOSITE,
    "drop_path": "a product with dropout_mask",
    "dynamic_frequencies": FIXED,
    "dropout": "a product with dropout_mask",
    "dropout_mask": "noise depends on no input",
    "instance_norm": "it is group_norm or batch_norm, and has their derivatives",
    "interpolate_positions": COMPOSITE,
    "linear_frequencies": FIXED,
    "llama3_frequencies": FIXED,
    "padding_mask": FIXED,
    "position_frequencies": FIXED,
    "position_shift_matrix": FIXED,
    "prefix_mask": FIXED,
    "rotary_angles": FIXED,
    "scaled_rotary_angles": "frequencies are given: nobody learns them",
    "safe_scale": "where an iteration starts, which changes nothing of where it ends",
    "sherman_morrison": COMPOSITE,
    "sinusoidal_positions": FIXED,
    "topk": "its values are gathered",
    "topk_indices": "places are whole numbers",
    "woodbury": "made of products and solve, which have theirs",
    "yarn_attention_factor": FIXED,
    "yarn_frequencies": FIXED,
}

# Arrays of floating numbers that are constants to the derivative.
CONSTANTS = {"batch_norm": {"running_mean", "running_var"}}

# Operators of any number of arrays, which may be none.
TAKE_WHAT_COMES = {"combine_masks"}

# Definitions that enter more than three functions: how many at most, and why.
MORE_TO_READ = {
    "attention_weights": (4, "a causal mask, a softmax, heads that share"),
    "scaled_dot_product_attention": (5, "the weights, and what they need"),
    "ben_israel_cohen": (
        5,
        "its steps from a safe scale, a norm, a bound",
    ),
    "ben_israel_cohen_residuals": (4, "its steps from a safe scale, and a norm"),
    "conv2d": (5, "how a window walks, what it sees, and groups of channels"),
    "conv3d": (5, "as conv2d"),
    "conv_transpose2d": (6, "the same, backwards"),
    "convolve2d": (6, "all of conv2d"),
    "unfold": (4, "how a window walks, and what it sees"),
    "fold": (4, "how a window walks, and what it adds up"),
    "max_pool2d": (5, "how a window walks, what it sees, and what padding holds"),
    "avg_pool2d": (5, "the same, and how many pixels each window counts"),
    "instance_norm": (4, "all of group_norm, or of batch_norm"),
    "batch_norm": (5, "a scale and a shift, and the statistics of a batch"),
    "lstm": (4, "the cell, and its two linear maps and sigmoids"),
    "cross_entropy": (4, "log_softmax, the shares that are asked for, the mean"),
}

OPERATORS = {
    name: function
    for name, function in vars(ops).items()
    if inspect.isfunction(function) and not name.endswith("_vjp")
}
# Made of operators: these have the derivatives, and are read each in its own place.
COMPOSED = {
    name
    for name, function in OPERATORS.items()
    if function.__module__ == compositions.__name__
}
BODIES = {inspect.unwrap(function).__code__ for function in OPERATORS.values()}
KERNELS = {
    (Path(code.co_filename).relative_to(PACKAGE).as_posix(), code.co_name)
    for function in vars(ops).values()
    if hasattr(function, "kernel")
    for code in [inspect.unwrap(function.kernel).__code__]
}
EACH = [
    pytest.param(name, case, id=f"{name}-{number}")
    for name, cases in CALLS.items()
    for number, case in enumerate(cases)
]
BY_KERNEL = [case for case in EACH if hasattr(getattr(ops, case.values[0]), "kernel")]
TOLERANCE = {"float64": 1e-12, "float32": 2e-5, "float16": 2e-3}


def as_dtype(case, dtype):
    """The arguments of a case in a dtype; a generator of noise begins anew."""
    args, options = copy.deepcopy((case.args, case.options))
    args = tuple(cast(value, dtype) for value in args)
    return args, {name: cast(value, dtype) for name, value in options.items()}


def results(name, case, dtype):
    """What an operator gives, as a tuple: `topk` has two results."""
    args, options = as_dtype(case, dtype)
    out = getattr(ops, name)(*args, **options)
    return out if isinstance(out, tuple) else (out,)


@house
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name, case", BY_KERNEL)
def test_operators_are_computed_as_they_are_defined(name, case, dtype):
    """A kernel gives the numbers of the body that it stands for, in every dtype."""
    sooner = results(name, case, dtype)
    with kernels.definitions():
        defined = results(name, case, dtype)
    for ours, theirs in zip(sooner, defined, strict=True):
        whole = np.asarray(theirs).dtype.kind != "f"
        assert_close(ours, theirs, 0 if whole else TOLERANCE[dtype])


@law
@pytest.mark.parametrize("name, case", EACH)
def test_operators_give_back_the_dtype_that_came_in(name, case):
    """float16 in, float16 out; and nothing that came in is written to."""
    for dtype in (np.float16, np.float32, np.float64):
        args, options = as_dtype(case, dtype)
        arrays = [a for a in (*args, *options.values()) if isinstance(a, np.ndarray)]
        before = [array.copy() for array in arrays]
        out = getattr(ops, name)(*args, **options)
        if any(array.dtype.kind == "f" for array in arrays):
            for each in out if isinstance(out, tuple) else (out,):
                assert each.dtype == dtype or each.dtype.kind != "f"
        for array, original in zip(arrays, before):
            np.testing.assert_array_equal(array, original, "an input was written to")


@house
@pytest.mark.parametrize("name", sorted(set(CALLS) - TAKE_WHAT_COMES))
def test_operators_without_arguments_are_refused_by_python(name):
    """`ops.softmax()` says which argument is missing, as any function does."""
    with pytest.raises(TypeError, match=f"{name}.. missing"):
        getattr(ops, name)()


@house
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name, case", EACH)
def test_derivatives_are_computed_as_they_are_defined(name, case, dtype):
    """The same of every vjp; and what a kernel left for it changes nothing."""
    operator = getattr(ops, name)
    if name not in COMPOSED and getattr(operator, "derivative", None) is None:
        assert name in WITHOUT_DERIVATIVE, f"{name} has no vjp, and no reason why"
        return
    args, options = as_dtype(case, dtype)
    d_out = cast(np.asarray(random_arrays(7)(*operator(*args, **options).shape)), dtype)
    parameters = inspect.signature(operator).parameters
    wanted = [
        place
        for place, (parameter, value) in enumerate(zip(parameters, args))
        if getattr(value, "dtype", None) in FLOATING
        and parameter not in CONSTANTS.get(name, ())
    ]
    sooner = pulled_back(operator, d_out, *args, wanted=wanted, **options)
    with kernels.definitions():
        defined = pulled_back(operator, d_out, *args, wanted=wanted, **options)
    for ours, theirs in zip(sooner, defined):
        if theirs is not None:
            assert_close(ours, theirs, TOLERANCE[dtype])


def functions_entered(call, closed=()):
    """The functions of refvlm that a call enters, contracts and the tape left out.

    Those whose code is in `closed` count as one each, whatever they enter; what a check
    of the arguments enters does not count.
    """
    entered, inside = set(), None

    def note(frame, event, _):
        nonlocal inside
        code = frame.f_code
        if inside is not None:
            if frame is inside and event == "return":
                inside = None
            return
        path = Path(code.co_filename)
        if event != "call" or not path.is_relative_to(PACKAGE):
            return
        file = path.relative_to(PACKAGE).as_posix()
        if file.startswith("spec/"):  # in a wheel this file lies in the package too
            return
        file = CHECKS if file.startswith(f"{CHECKS}/") else file
        if file not in CONTRACTS and not code.co_name.startswith("<"):
            entered.add((file, code.co_name))
        if code in closed or file == CHECKS:
            inside = frame

    sys.setprofile(note)
    try:
        call()
    finally:
        sys.setprofile(None)
    return entered


@house
@pytest.mark.parametrize("name, case", EACH)
def test_definitions_are_read_in_one_look(name, case):
    """Whoever reads a body has few functions to enter: three, or six for a family that
    walks, gathers or attends. In a body made of operators, each of them is one."""
    operator = getattr(ops, name)
    closed = BODIES - {inspect.unwrap(operator).__code__} if name in COMPOSED else ()
    with kernels.definitions():
        entered = functions_entered(lambda: results(name, case, np.float64), closed)
    most, _ = MORE_TO_READ.get(name, (3, ""))
    assert len(entered) <= most, sorted(entered)


def every_second(value):
    """The same floating array, lying on every second place of a wider one."""
    if getattr(value, "dtype", None) in FLOATING and value.ndim:
        return np.repeat(value, 2, axis=-1)[..., ::2]
    return value


@law
@pytest.mark.parametrize("name, case", EACH)
def test_operators_do_not_ask_how_an_array_lies_in_memory(name, case):
    """A view of every second number gives what a copy of it gives."""
    for dtype in (np.float32, np.float64):
        args, options = as_dtype(case, dtype)
        args = [every_second(value) for value in args]
        options = {key: every_second(value) for key, value in options.items()}
        out = getattr(ops, name)(*args, **options)
        out = out if isinstance(out, tuple) else (out,)
        for ours, theirs in zip(out, results(name, case, dtype)):
            assert_close(ours, theirs)


@house
@pytest.mark.parametrize("name, case", BY_KERNEL)
def test_mixed_dtypes_are_computed_as_they_are_defined(name, case):
    """A float32 array beside float64 ones: the widest decides, with or without."""
    args, options = as_dtype(case, np.float64)
    args = (cast(args[0], np.float32), *args[1:])
    out = getattr(ops, name)(*copy.deepcopy(args), **options)
    with kernels.definitions():
        defined = getattr(ops, name)(*args, **options)
    out, defined = (r[0] if isinstance(r, tuple) else r for r in (out, defined))
    assert_close(out, defined, TOLERANCE.get(defined.dtype.name))


@house
@pytest.mark.parametrize("name, case", EACH)
def test_definitions_run_no_kernel(name, case):
    """Inside `kernels.definitions()` there is nothing but formulas; outside, a kernel
    that no call of CALLS enters would be one that nobody has compared."""
    with kernels.definitions():
        assert not functions_entered(lambda: results(name, case, np.float64)) & KERNELS
    if hasattr(getattr(ops, name), "kernel"):
        assert functions_entered(lambda: results(name, case, np.float64)) & KERNELS


@house
def test_operators_have_calls_each():
    """What has no line in its file's CALLS escapes every law of this file."""
    assert OPERATORS.keys() == CALLS.keys()


@house
@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_operators_know_their_definition(name):
    """`softmax.definition` is the body as it stands in the file, kernel or none."""
    function = OPERATORS[name]
    if hasattr(function, "contract"):
        assert function.definition.__code__ is inspect.unwrap(function).__code__
