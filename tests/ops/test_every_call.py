"""What every operator does with a slip, and with nothing to do.

A list for an array, whole numbers for floating ones, an axis that is not there, an
argument too few: each is refused by the name of the function and of the argument. No
samples, and a single number, are no slips: they are computed. The calls are those of
`CALLS` in each family's file (see test_every_operator.py).
"""

import importlib
import inspect

import numpy as np
import pytest

from refvlm import ops
from refvlm.autodiff import Variable

from ..spec import contract, derivative, house, law, pulled_back
from .test_every_operator import CALLS, PACKAGE


def ours(name):
    """The package's own operator, whatever stands in for it in `ops`."""
    files = (PACKAGE / "ops").glob("*.py")
    rooms = (importlib.import_module(f"refvlm.ops.{file.stem}") for file in files)
    return next(
        vars(room)[name]
        for room in rooms
        if getattr(vars(room).get(name), "__module__", None) == room.__name__
    )


FIRST = [pytest.param(name, calls[0], id=name) for name, calls in sorted(CALLS.items())]
UNDER_CONTRACT = [
    pytest.param(name, calls[0], each, id=f"{name}-{each.name}")
    for name, calls in sorted(CALLS.items())
    for each in getattr(ours(name), "contract", {}).values()
]

# What has no answer for an empty batch, and why.
NOTHING_TO_SAY = {
    "batch_norm_statistics": "no values have no mean and no spread",
}


def with_argument(name, case, argument, value):
    """The call of a case with another value for one argument, given by its name."""
    parameters = list(inspect.signature(getattr(ops, name)).parameters)
    given = dict(zip(parameters, case.args)) | case.options | {argument: value}
    first, *rest = given
    return getattr(ops, name)(given[first], **{key: given[key] for key in rest})


def takes_a_number_alone(name):
    """Whether its one array may have any axes, and nothing else has to be given."""
    function = ours(name)
    contracts = list(getattr(function, "contract", {}).values())
    parameters = list(inspect.signature(function).parameters.values())
    required = [p.name for p in parameters if p.default is p.empty and p.name != "dim"]
    any_axes = contracts and contracts[0].leading and not contracts[0].names
    floating = any_axes and "f" in contracts[0].kind
    return bool(floating) and required == [contracts[0].name]


def along_an_axis(function):
    return "dim" in inspect.signature(function).parameters


@contract
@pytest.mark.parametrize("name, case, each", UNDER_CONTRACT)
def test_operators_refuse_a_list(name, case, each):
    """A list has no shape; np.array makes one of it."""
    with pytest.raises(TypeError, match=f"{name}: {each.name} must be an array, not"):
        with_argument(name, case, each.name, [1.0, 2.0])


@contract
@pytest.mark.parametrize("name, case, each", UNDER_CONTRACT)
def test_operators_of_floating_numbers_refuse_whole_ones(name, case, each):
    """dtype in is dtype out, and half a step does not fit into int64."""
    if each.kind == "f":
        whole = np.ones((2,) * max(len(each.names), 1), int)
        with pytest.raises(ValueError, match=f"{name}: {each.name} holds int64, but"):
            with_argument(name, case, each.name, whole)


@contract
@pytest.mark.parametrize("name, case", FIRST)
def test_operators_refuse_an_axis_that_is_not_there(name, case):
    """For an array as for a Variable, by the name of the argument."""
    if "dim" in inspect.signature(getattr(ops, name)).parameters:
        with pytest.raises(ValueError, match=f"{name}: dim"):
            with_argument(name, case, "dim", 99)
        if getattr(getattr(ops, name), "derivative", None) is not None:
            traced = case._replace(args=(Variable(case.args[0]), *case.args[1:]))
            with pytest.raises(ValueError, match=f"{name}: dim"):
                with_argument(name, traced, "dim", 99)


@contract
@pytest.mark.parametrize("name, case", FIRST)
def test_operators_refuse_a_word_that_they_do_not_know(name, case):
    """As any function of Python does."""
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        getattr(ops, name)(*case.args, **case.options, colour="red")


# Numbers that may be anything, and why.
MAY_BE_ANYTHING = {
    ("batch_norm", "momentum"): "nobody reads it",
    ("instance_norm", "momentum"): "nobody reads it",
    ("swish", "beta"): "it may be learnt: a NaN in it is data",
}
NUMBERS = [
    pytest.param(name, calls[0], option, id=f"{name}-{option}")
    for name, calls in sorted(CALLS.items())
    for option, parameter in inspect.signature(getattr(ops, name)).parameters.items()
    if type(parameter.default) in (int, float) and (name, option) not in MAY_BE_ANYTHING
]
NOT_A_NUMBER = "a", np.nan, np.ones(3), [1, 2, 3, 4], (None,)


@contract
@pytest.mark.parametrize("name, case, option", NUMBERS)
def test_operators_refuse_a_number_that_is_none(name, case, option):
    """By the name of the option: no NaN comes out in silence, no error of NumPy's."""
    for value in (*NOT_A_NUMBER, -1) if option == "eps" else NOT_A_NUMBER:
        with pytest.raises((ValueError, TypeError), match=f"^{name}: .*{option}"):
            with_argument(name, case, option, value)


def without_samples(name, case):
    """The case with an empty first axis wherever its arrays have leading axes, and an
    empty axis b, or None where none has."""
    args, options, length = list(case.args), dict(case.options), None
    for each in getattr(ours(name), "contract", {}).values():
        by_place = each.position < len(args)
        array = args[each.position] if by_place else options.get(each.name)
        if not isinstance(array, np.ndarray):
            continue
        leading = array.ndim - len(each.names) if each.leading else 0
        if leading or "b" in each.names:
            axis = 0 if leading else each.names.index("b")
            length = array.shape[axis] if length is None else length
            if array.shape[axis] != length:
                continue
            empty = np.take(array, [], axis)
            if by_place:
                args[each.position] = empty
            else:
                options[each.name] = empty
    return None if length is None else case._replace(args=tuple(args), options=options)


EMPTY = [
    pytest.param(name, without_samples(name, calls[0]), id=name)
    for name, calls in sorted(CALLS.items())
    if name not in NOTHING_TO_SAY and without_samples(name, calls[0]) is not None
]


@law
@pytest.mark.parametrize("name, case", EMPTY)
def test_operators_of_no_samples_give_none(name, case):
    """An empty batch goes in, an empty batch comes out: do not divide by its length, or
    take the largest of nothing."""
    out = getattr(ops, name)(*case.args, **case.options)
    out = out[0] if isinstance(out, tuple) else out
    assert out.size == 0 or out.shape == ()


@derivative
@pytest.mark.parametrize("name, case", EMPTY)
def test_operators_of_no_samples_have_their_gradient(name, case):
    """It is as empty as what came in."""
    function, first = getattr(ops, name), case.args[0]
    if first.dtype.kind == "f" and getattr(function, "derivative", None) is not None:
        out = function(*case.args, **case.options)
        out = out[0] if isinstance(out, tuple) else out
        d_first, *_ = pulled_back(
            function, np.ones_like(out), *case.args, wanted=[0], **case.options
        )
        assert d_first.shape == first.shape


# Operators that 0.5 says nothing to.
WANT_MORE = {"boolean_mask", "dropout"}
ALONE = {name for name in CALLS if takes_a_number_alone(name)} - WANT_MORE
SEVERAL_AXES = {"logsumexp", "normalize"}


@house
@pytest.mark.parametrize("name", sorted(ALONE))
def test_operators_of_one_number_give_one(name):
    """An array without axes is an array, and no scalar of NumPy's: its shape is (), and
    so is its gradient's. Of an operator along `dim`, 0 and -1 name the axis that it
    would have."""
    function, number = getattr(ops, name), np.array(0.5)
    given = [{"dim": 0}, {"dim": -1}] if along_an_axis(function) else [{}]
    if name in SEVERAL_AXES:
        given += [{"dim": (0,)}, {"dim": (-1,)}]
    for options in given:
        out = function(number, **options)
        assert isinstance(out, np.ndarray) and out.shape == ()
        if getattr(function, "derivative", None) is not None:
            (d_x,) = pulled_back(function, np.ones(()), number, **options)
            assert isinstance(d_x, np.ndarray) and d_x.shape == ()
