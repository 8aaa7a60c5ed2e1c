"""The spec of refvlm/autodiff.py."""

import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import (
    Variable,
    backward,
    differentiable,
    grad,
    unbroadcast,
    value_and_grad,
)
from refvlm.checkpoint.weights import Weights
from refvlm.kernels import computed_by, definitions

from .spec import (
    assert_close,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)


@differentiable
def square(x):
    """An operator with its derivative beside it."""
    return x * x


@square.vjp
def square_vjp(d_out, x):
    return 2 * x * d_out


@example
def test_grad_of_a_sum_of_squares():
    """d(x^2)/dx = 2x."""
    np.testing.assert_array_equal(
        grad(lambda x: square(x).sum())(np.array([1.0, -3.0])), [2.0, -6.0]
    )


@example
def test_value_and_grad_of_a_line():
    """The error of a line through one point, and which way its slope should move."""

    def error(line, x, y):
        return ((line["slope"] * x + line["height"] - y) ** 2).sum()

    line = {"slope": np.array(2.0), "height": np.array(1.0)}
    value, gradient = value_and_grad(error)(line, np.array([3.0]), np.array([5.0]))
    assert value == 4.0
    assert gradient == {"slope": 12.0, "height": 4.0}


GLUE = {
    "add": lambda a, b: a + b,
    "subtract": lambda a, b: a - b,
    "multiply": lambda a, b: a * b,
    "divide": lambda a, b: a / (b * b + 1.0),
    "matmul": lambda a, b: a @ b.swapaxes(-1, -2),
    "concatenate": lambda a, b: np.concatenate([a, b], axis=-2),
    "concatenate, last": lambda a, b: np.concatenate((a, b, a), axis=-1),
    "where": lambda a, b: np.where(WHERE, a, b),
    "stack": lambda a, b: np.stack([a, b, a], axis=1),
}
WHERE = np.array([[True, False, True, False], [False, False, True, True]])

ALONE = {
    "negative": lambda a: -a,
    "power": lambda a: (a * a + 1.0) ** -0.5,
    "cube": lambda a: a**3,
    "number on the left": lambda a: 2.0 - 3.0 * a + 1.0 / (a * a + 1.0),
    "array on the left": lambda a: ARRAY + (ARRAY - ARRAY * a) / (a * a + ARRAY**2),
    "array @": lambda a: ARRAY.T @ a,
    "row": lambda a: a[:, 1],
    "slice": lambda a: a[..., ::-2, 1:],
    "new axis": lambda a: a[:, None, 0],
    "fancy": lambda a: a[:, [0, 1, 1, 0, 1]],
    "mask": lambda a: a[:, WHERE],
    "reshape": lambda a: a.reshape(4, -1),
    "reshape, tuple": lambda a: np.reshape(a, (2, 12)),
    "transpose": lambda a: a.transpose(2, 0, 1),
    "T": lambda a: a.T,
    "transpose, negative": lambda a: np.transpose(a, (-1, 0, 1)),
    "swapaxes": lambda a: np.swapaxes(a, 0, -1),
    "moveaxis": lambda a: np.moveaxis(a, 0, -1),
    "moveaxis, two": lambda a: np.moveaxis(a, (0, 1), (-1, 0)),
    "expand_dims": lambda a: np.expand_dims(a, 1),
    "squeeze": lambda a: np.squeeze(a[:, :1], 1),
    "broadcast_to": lambda a: np.broadcast_to(a[:, :1], (5, 3, 2, 4)),
    "sum": lambda a: a.sum(),
    "sum, axis": lambda a: a.sum(axis=1),
    "sum, axes": lambda a: np.sum(a, axis=(0, 2)),
    "sum, keepdims": lambda a: a.sum(axis=-1, keepdims=True),
    "mean": lambda a: a.mean(),
    "mean, axes": lambda a: np.mean(a, axis=(0, -1), keepdims=True),
}
ARRAY = np.array([[1.0, 2.0, -1.0, 0.5], [3.0, -2.0, 1.0, 4.0]])


def operands():
    draw = random_arrays(61)
    return draw(3, 2, 4), draw(3, 2, 4)


@derivative
@pytest.mark.parametrize("name", GLUE)
def test_glue_between_two_arrays_has_its_derivative(name):
    """What stands between operators is checked as the operators are."""
    check_vjp(GLUE[name], *operands())


@derivative
@pytest.mark.parametrize("name", ALONE)
def test_glue_on_one_array_has_its_derivative(name):
    """Shapes, indices and sums, against central differences."""
    check_vjp(ALONE[name], operands()[0])


@derivative
@pytest.mark.parametrize("name", ["add", "subtract", "multiply", "divide"])
@pytest.mark.parametrize("shape", [(), (4,), (2, 1), (3, 1, 1), (1, 4), (5, 3, 2, 4)])
def test_glue_sums_gradients_over_what_was_broadcast(name, shape):
    """An input that was repeated gets the sum of what its copies got."""
    first, _ = operands()
    second = random_arrays(62)(*shape) if shape else np.array(1.5)
    check_vjp(GLUE[name], first, second)
    check_vjp(GLUE[name], second, first)


@derivative
def test_glue_matmul_broadcasts_stacks_of_matrices():
    """One matrix for a whole batch gets the batch's gradients, added."""
    draw = random_arrays(63)
    check_vjp(lambda a, b: a @ b, draw(3, 2, 4), draw(4, 5))
    check_vjp(lambda a, b: a @ b, draw(2, 4), draw(3, 4, 5))
    check_vjp(lambda a, b: a @ b, draw(3, 1, 2, 4), draw(5, 4, 1))


@oracle
def test_glue_equals_torch(compare):
    """A little of everything, written once, run by both."""
    draw = random_arrays(64)

    def formula(a, b, c):
        scaled = (a @ b.swapaxes(-1, -2)) / (c * c + 1.0)
        part = scaled[..., 1:, :].reshape(3, -1)
        return (part - part.mean(axis=-1, keepdims=True)) ** 2 * 0.5 - c.sum()

    compare(formula, lambda torch: formula, draw(3, 4, 2), draw(5, 2), draw(4, 1))


@law
@given(st.data())
def test_unbroadcast_is_the_adjoint_of_broadcasting(data):
    """<broadcast(x), y> = <x, unbroadcast(y)>, for every shape that broadcasts."""
    shape = data.draw(st.sampled_from([(3, 1), (1,), (4,), (), (2, 1, 4), (2, 3, 4)]))
    x = data.draw(tensors(shape, -3, 3))
    y = data.draw(tensors((2, 3, 4), -3, 3))
    there = (np.broadcast_to(x, y.shape) * y).sum()
    back = (x * unbroadcast(y, shape)).sum()
    assert unbroadcast(y, shape).shape == shape
    assert abs(there - back) <= 1e-10


@law
@given(tensors((3,), -3, 3), st.floats(-3, 3), st.floats(-3, 3))
def test_grad_is_linear_in_the_function(x, a, b):
    """The gradient of a f + b g is a grad f + b grad g."""
    together = grad(lambda x: a * square(x).sum() + b * (x**3).sum())(x)
    apart = a * grad(lambda x: square(x).sum())(x) + b * grad(lambda x: (x**3).sum())(x)
    assert np.abs(together - apart).max() <= 1e-9


@law
@given(tensors((4,), -3, 3))
def test_grad_adds_up_over_every_use(x):
    """x + x + x^2: a value used three times collects three shares."""
    found = grad(lambda x: (x + x + square(x)).sum())(x)
    assert_close(found, 2.0 + 2.0 * x, 1e-12)


@law
def test_grad_runs_a_shared_part_once():
    """Each operator's derivative runs once, however many paths lead through it."""
    calls = []

    @differentiable
    def counted(x):
        return x * 1.0

    @counted.vjp
    def counted_vjp(d_out, x):
        calls.append(1)
        return d_out

    def doubling(x):
        for _ in range(20):  # 2^20 paths from the end to the beginning
            x = counted(x)
            x = x + x
        return x.sum()

    assert grad(doubling)(np.ones(1)) == [2.0**20]
    assert len(calls) == 20


@law
def test_grad_of_a_deep_chain_does_not_recurse():
    """A tape of 20,000 steps is walked in a loop, and freed without a deep stack."""

    def chain(x):
        for _ in range(20_000):
            x = x + 1.0
        return x.sum()

    assert sys.getrecursionlimit() < 20_000
    np.testing.assert_array_equal(grad(chain)(np.ones(2)), [1.0, 1.0])


@law
def test_grad_of_an_unused_input_is_zero():
    """What nothing depends on has no influence."""
    found = grad(lambda weights: weights["used"].sum())(
        {"used": np.ones(2), "idle": np.ones((2, 3))}
    )
    np.testing.assert_array_equal(found["idle"], np.zeros((2, 3)))
    np.testing.assert_array_equal(grad(lambda x: np.float64(3.0))(np.ones(2)), [0, 0])


@law
def test_grad_differentiates_any_argument():
    """`wrt` says which; the others stay plain arrays."""
    first, second = np.array([2.0, 3.0]), np.array([5.0, 7.0])

    def product(a, b, scale=1.0):
        assert type(a) is np.ndarray
        return (a * b).sum() * scale

    found = grad(product, wrt=1)(first, second, scale=2.0)
    np.testing.assert_array_equal(found, 2 * first)


@law
def test_grad_of_a_mapping_is_a_mapping():
    """Names in, names out; a scope of the weights is seen through."""
    weights = Weights({"a.weight": np.ones(2), "b.weight": np.full(2, 3.0)})

    def loss(weights):
        return (weights.scope("a")["weight"] * weights["b.weight"]).sum()

    found = grad(loss)(weights)
    assert found.keys() == {"a.weight", "b.weight"}
    np.testing.assert_array_equal(found["a.weight"], [3.0, 3.0])


@law
def test_grad_leaves_what_is_frozen_plain():
    """Only trainable names become Variables; the rest costs nothing."""
    weights = {"a": np.ones(2), "b": np.full(2, 3.0), "steps": np.array([4])}

    def loss(weights):
        assert type(weights["b"]) is np.ndarray
        return (weights["a"] * weights["b"]).sum()

    for trainable in (["a"], {"a"}, lambda name: name == "a"):
        found = grad(loss, trainable=trainable)(weights)
        assert found.keys() == {"a"}
        np.testing.assert_array_equal(found["a"], [3.0, 3.0])


@law
def test_grad_of_a_mapping_skips_whole_numbers():
    """Step counts and token tables have no derivative, and are not asked for one."""
    found = grad(lambda w: w["a"].sum())({"a": np.ones(2), "steps": np.array([4])})
    assert found.keys() == {"a"}


@law
def test_grad_of_tied_arrays_is_shared():
    """One array under two names is one leaf: both names get the whole gradient."""
    table = np.array([1.0, 2.0])
    tied = {"embedding": table, "head": table, "other": table.copy()}

    def loss(weights):
        return (weights["embedding"] * 3.0 + weights["head"] * 5.0).sum()

    found = grad(loss)(tied)
    np.testing.assert_array_equal(found["embedding"], [8.0, 8.0])
    np.testing.assert_array_equal(found["head"], [8.0, 8.0])
    np.testing.assert_array_equal(found["other"], [0.0, 0.0])


@law
def test_grad_gives_arrays_that_may_be_written_to():
    """No two gradients share memory, and none is a read-only view."""
    found = grad(lambda w: (w["a"] + w["b"]).sum())({"a": np.ones(3), "b": np.ones(3)})
    found["a"] *= 0.0
    np.testing.assert_array_equal(found["b"], np.ones(3))
    grad(lambda x: x.sum())(np.ones(3))[:] = 0.0


@law
def test_grad_keeps_single_precision():
    """float32 weights have float32 gradients, through every kind of glue."""
    first = operands()[0].astype(np.float32)
    for name, glue in ALONE.items():
        if "array" in name:
            continue  # a float64 array beside it makes float64, as in NumPy
        value, found = value_and_grad(lambda x, glue=glue: glue(x).sum())(first)
        assert found.dtype == value.dtype == np.float32, name


@law
def test_grad_leaves_its_inputs_as_they_were():
    """The way back writes to nothing that came in."""
    x = np.array([1.0, 2.0, 3.0])
    before = x.copy()
    grad(lambda x: (x[1:] * x[:-1]).sum())(x)
    np.testing.assert_array_equal(x, before)


@law
def test_operators_on_arrays_record_nothing():
    """Called with arrays, an operator is the plain function."""
    assert type(square(np.ones(2))) is np.ndarray
    assert type(square(Variable(np.ones(2)))) is Variable


@law
def test_operators_trace_arguments_by_name_too():
    """A Variable is found wherever it stands in the call."""
    x, weight = Variable(np.ones((1, 3, 3))), np.ones((1, 1, 2, 2))
    assert type(ops.conv2d(weight=weight, x=x)) is Variable


@law
def test_operators_free_the_way_back_as_it_is_walked():
    """A chain needs memory for its values, not for all gradients at once too."""

    def chain(x):
        for _ in range(32):
            x = x * 1.0
        return x.sum()

    x = np.ones(100_000)
    grad(chain)(x)
    tracemalloc.start()
    grad(chain)(x)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * x.nbytes


@law
def test_grad_repeats_itself_to_the_bit():
    """A sum of three shares depends on their order, and the order on the graph alone:
    not on where in memory its Variables happen to lie."""
    draw = random_arrays(11)
    x, matrices = draw(4, 8), draw(3, 8, 8)

    def loss(x):
        shared = x * 1.0
        return sum((shared @ matrix * shared).sum() for matrix in matrices)

    kept, found = [], set()
    for size in range(40):
        kept.append([Variable(x) for _ in range(size * 7 % 23)])
        del kept[::3]
        found.add(grad(loss)(x).tobytes())
    assert len(found) == 1


@law
def test_vjp_is_told_what_is_needed():
    """`needs` names the inputs that are traced; the others need no gradient."""
    asked = []

    @differentiable
    def scaled(x, weight, bias=None):
        return x * weight + bias

    @scaled.vjp
    def scaled_vjp(d_out, x, weight, bias, needs):
        asked.append(needs)
        return d_out * weight if "x" in needs else None, None, d_out

    x, weight, bias = np.ones(2), np.full(2, 3.0), np.zeros(2)
    grad(lambda x: scaled(x, weight, bias).sum())(x)
    grad(lambda bias: scaled(x, weight, bias=bias).sum())(bias)
    assert asked == [("x",), ("bias",)]


@law
def test_of_several_results_the_first_is_differentiated():
    """What stands beside it is plain: an index has no derivative."""

    @differentiable
    def largest(x):
        return x.max(), x.argmax()

    @largest.vjp
    def largest_vjp(d_out, out, x):
        return d_out * (x == out)

    x = Variable(np.array([1.0, 7.0, 2.0]))
    value, place = largest(x)
    np.testing.assert_array_equal(backward(value, 3.0)[x], [0.0, 3.0, 0.0])
    assert place == 1


@law
def test_kernels_hand_their_residuals_to_the_vjp():
    """What was dear to compute is kept; without it the vjp computes it again."""
    runs = []

    def cube(x, residuals):
        runs.append("noted" if residuals is not None else "alone")
        if residuals is not None:
            residuals["slope"] = 3 * x**2
        return x**3

    @differentiable
    @computed_by(cube)
    def dear(x):
        return x * x * x

    @dear.vjp
    def dear_vjp(d_out, x, slope=None):
        runs.append("again" if slope is None else "handed on")
        return d_out * (3 * x**2 if slope is None else slope)

    x = np.array([2.0])
    assert dear(x) == [8.0]
    assert grad(lambda x: dear(x).sum())(x) == [12.0]
    assert runs == ["alone", "noted", "handed on"]
    with definitions():
        assert grad(lambda x: dear(x).sum())(x) == [12.0]
    assert runs[3:] == ["again"]
    np.testing.assert_array_equal(dear_vjp(np.ones(1), x), [12.0])


@law
def test_vjps_are_handed_what_they_name():
    """In any order, defaults included, and nothing else is kept for them."""
    handed = {}

    @differentiable
    def scaled(x, factor=3.0, shift=0.0):
        return x * factor + shift

    @scaled.vjp
    def scaled_vjp(factor, d_out):
        handed["factor"] = factor
        return d_out * factor

    assert grad(lambda x: scaled(x, shift=1.0).sum())(np.array([2.0])) == [3.0]
    assert grad(lambda x: scaled(x, 5.0).sum())(np.array([2.0])) == [5.0]
    assert handed == {"factor": 5.0}
    x = np.ones(1000)
    traced = scaled(Variable(x), 2.0)
    before = sys.getrefcount(x)
    del x
    assert before <= 3, "the note holds an input that no vjp names"
    assert traced.shape == (1000,)


@contract
def test_vjps_that_name_what_nobody_has_are_refused():
    """When they are registered, with the names that there are."""

    @differentiable
    def doubled(x):
        return 2 * x

    with pytest.raises(TypeError, match="wrong_vjp asks for 'y', .* doubled: x"):

        @doubled.vjp
        def wrong_vjp(d_out, y):
            return d_out


@law
def test_variable_joins_arrays_from_either_side():
    """array + Variable is a Variable, never an array of objects."""
    x, array = Variable(np.ones(2)), np.array([1.0, 2.0])
    for result in (array + x, array - x, array * x, array / x, np.float64(2.0) * x):
        assert type(result) is Variable
        assert result.dtype == np.float64
    array += 1  # an array may still change in place ...
    array = array + x  # ... and become a Variable
    assert type(array) is Variable


@law
def test_variable_looks_like_its_array():
    """Shape, size, axes, dtype, length, and a way to print it."""
    x = Variable(np.ones((2, 3), np.float32))
    assert (x.shape, x.ndim, x.size, x.dtype, len(x)) == ((2, 3), 2, 6, np.float32, 2)
    assert x.T.shape == (3, 2)
    assert repr(Variable(np.array([1.0]))) == "Variable(array([1.]))"


@law
def test_variable_astype_converts_the_gradient_back():
    """Half-precision work, full-precision weights."""
    x = Variable(np.ones(2, np.float32))
    half = x.astype(np.float16)
    found = backward(half.sum(), np.ones((), np.float16))
    assert half.dtype == np.float16
    assert found[x].dtype == np.float32


@law
def test_variable_to_the_power_zero_is_one_and_flat():
    """x^0 = 1 everywhere: its slope is 0, at 0 too."""
    np.testing.assert_array_equal(grad(lambda x: (x**0).sum())(np.zeros(2)), [0.0, 0.0])


@contract
def test_grad_refuses_more_than_one_number():
    """Of a vector one would have to say which entry is meant: sum it, or index it."""
    with pytest.raises(ValueError, match=r"of one number, not of shape \(2,\)"):
        grad(square)(np.ones(2))


@contract
def test_grad_refuses_names_that_are_not_there():
    """A misspelt name would silently not be trained."""
    with pytest.raises(ValueError, match="nothing to train is named wieght"):
        grad(lambda w: w["weight"].sum(), trainable=["wieght"])({"weight": np.ones(2)})


@contract
def test_grad_refuses_derivatives_of_derivatives():
    """The tape is one tape deep."""
    inner = grad(lambda x: (x * x).sum())
    with pytest.raises(TypeError, match="derivatives of derivatives"):
        grad(lambda x: inner(x).sum())(np.ones(2))


@contract
def test_operators_without_a_derivative_say_so():
    """Not at the end of the way back, but where they are called."""

    @differentiable
    def rounded(x):
        return np.round(x)

    with pytest.raises(TypeError, match="rounded has no derivative"):
        rounded(Variable(np.ones(2)))


@contract
def test_operators_say_which_input_has_no_derivative():
    """Running statistics are not trained: the message names them."""
    x, mean = np.ones((2, 3)), np.zeros(3)
    with pytest.raises(
        TypeError, match="batch_norm is not differentiable in running_m"
    ):
        grad(lambda mean: ops.batch_norm(x, mean, np.ones(3)).sum())(mean)


@contract
def test_operators_refuse_a_gradient_of_the_wrong_shape():
    """A vjp that forgets to sum over what was broadcast is found at once."""

    @differentiable
    def shifted(x, bias):
        return x + bias

    @shifted.vjp
    def shifted_vjp(d_out, x, bias):
        return d_out, d_out

    with pytest.raises(ValueError, match=r"gradient of bias is \(2, 3\), .* is \(3,\)"):
        grad(lambda bias: shifted(np.ones((2, 3)), bias).sum())(np.ones(3))


@contract
def test_variable_refuses_numpy_functions_that_it_does_not_know():
    """np.exp would break the tape: there is an operator for it."""
    x = Variable(np.ones(2))
    for function in (np.exp, np.maximum.reduce, np.sort, np.linalg.norm):
        with pytest.raises(TypeError):
            function(x)


@contract
def test_variable_refuses_a_variable_exponent():
    """x ** y is differentiable in x only."""
    with pytest.raises(TypeError, match="y must be a number"):
        np.ones(2) * Variable(np.ones(2)) ** Variable(np.ones(2))


@contract
def test_variable_refuses_products_with_vectors():
    """`@` with a vector has rules of its own: write the axis out."""
    with pytest.raises(TypeError, match="at least two axes"):
        Variable(np.ones((2, 3))) @ np.ones(3)


@contract
def test_grad_refuses_whole_numbers():
    """Between 1 and 2 there is no whole number to lean on: no slope."""
    with pytest.raises(ValueError, match="of floating numbers, not of int64"):
        grad(lambda x: (x * x).sum())(np.array([1, 2]))


@contract
@pytest.mark.parametrize("wrt", [1, -1])
def test_grad_refuses_an_argument_that_is_not_there(wrt):
    """Arguments are counted from 0."""
    with pytest.raises(ValueError, match=f"wrt is {wrt}, but there are 1 arguments"):
        grad(lambda x: x.sum(), wrt=wrt)(np.ones(2))


@law
def test_definitions_may_be_nested():
    """The inner block ends itself alone."""
    runs = []

    def sooner(x):
        runs.append("kernel")
        return x

    @computed_by(sooner)
    def same(x):
        runs.append("body")
        return x

    with definitions():
        with definitions():
            same(1)
        same(1)
    same(1)
    assert runs == ["body", "body", "kernel"]


@contract
def test_an_argument_given_twice_is_refused_by_python():
    """By place and by name: neither silently wins."""
    with pytest.raises(TypeError, match="multiple values for argument 'dim'"):
        ops.softmax(np.ones((2, 3)), 0, dim=1)
