"""The spec of refvlm/ops/activation.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops

from ..spec import (
    assert_close,
    call,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    pulled_back,
    random_arrays,
    shapes_of,
    tensors,
)

NAMES = ["relu", "sigmoid", "tanh", "silu", "swish", "hardsigmoid", "hardswish", "gelu"]

draw = random_arrays(2026)
CALLS = {name: [call(draw(3, 7, scale=3)), call(draw(2, 0))] for name in NAMES}
CALLS["swish"] += [call(draw(3, 7), beta=0.5), call(draw(3, 7), draw(7))]
CALLS["gelu"] += [call(draw(3, 7, scale=3), approximate="tanh")]

numbers = tensors(shapes_of(2), low=-100, high=100)

# Both tails and the middle, densely near zero: numbers that float32 holds exactly.
SIZES = np.concatenate([np.logspace(-30, 0, 11), np.linspace(1.3, 85, 31)])
TAILS = np.concatenate([-SIZES[::-1], SIZES]).astype(np.float32).astype(np.float64)


def smooth(seed):
    """Numbers for a derivative: none near a corner at 0 or at -3 and 3."""
    x = random_arrays(seed)(3, 7, scale=3)
    return np.where(np.abs(np.abs(x) - 3) < 0.1, 1.0, np.where(x == 0, 1.0, x))


def assert_digits(actual, expected, tolerance):
    """Every number by itself to a relative tolerance, down to the smallest normal."""
    smallest = np.finfo(actual.dtype).tiny
    error = np.abs(actual.astype(np.float64) - expected)
    worst = np.argmax(error / (np.abs(expected) + smallest))
    assert error.flat[worst] <= tolerance * np.abs(expected.flat[worst]) + smallest, (
        f"{actual.flat[worst]!r} should be {expected.flat[worst]!r}"
    )


def check_tails(compare, ours, reference, x=TAILS, single=1e-6, double=1e-14):
    """Relative accuracy, not only against the largest value, and no warnings."""

    def ask(torch):
        return {"output": reference(torch)(torch.from_numpy(x)).numpy()}

    expected = compare.answers(ask, x)["output"]
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        assert_digits(ours(x), expected, double)
        assert_digits(ours(x.astype(np.float32)), expected, single)


@example
def test_relu_passes_what_is_positive():
    """-2 becomes 0 and 3 stays 3."""
    np.testing.assert_array_equal(ops.relu(np.array([-2.0, 0.0, 3.0])), [0, 0, 3])


@example
def test_sigmoid_turns_odds_into_probabilities():
    """The logarithm of the odds 3 : 1 becomes the probability 3/4."""
    assert_close(ops.sigmoid(np.log([3.0, 1.0, 1 / 3])), np.array([0.75, 0.5, 0.25]))


@example
def test_tanh_of_half_log_three():
    """tanh(log(3) / 2) = (3 - 1) / (3 + 1)."""
    assert_close(ops.tanh(np.array([0.0, np.log(3) / 2])), np.array([0, 0.5]))


@example
def test_silu_gates_a_number_by_itself():
    """At log 3 the gate is 3/4 open: three quarters of the number come through."""
    assert_close(ops.silu(np.array([0.0, np.log(3)])), np.array([0, 0.75 * np.log(3)]))


@example
def test_swish_with_beta_two():
    """At log(3) / 2 and beta 2 the gate is open to 3/4."""
    x = np.array([np.log(3) / 2])
    assert_close(ops.swish(x, beta=2.0), 0.75 * x)


@example
def test_hardsigmoid_is_a_ramp():
    """From 0 at -3 to 1 at 3, through 1/2 at 0."""
    x = np.array([-4.0, -3.0, 0.0, 1.5, 3.0, 4.0])
    np.testing.assert_array_equal(ops.hardsigmoid(x), [0, 0, 0.5, 0.75, 1, 1])


@example
def test_hardswish_gates_with_the_ramp():
    """At 1.5 the ramp is at 3/4, and 3/4 of 1.5 comes through."""
    x = np.array([-4.0, 0.0, 1.5, 4.0])
    np.testing.assert_array_equal(ops.hardswish(x), [0, 0, 1.125, 4])


@example
def test_gelu_multiplies_by_the_share_below():
    """84.13 % of a normal distribution lie below 1, and 15.87 % below -1."""
    out = ops.gelu(np.array([-1.0, 0.0, 1.0]))
    np.testing.assert_allclose(out, [-0.158655253931, 0, 0.841344746069], atol=1e-12)


@law
@given(numbers, st.floats(0, 10))
def test_relu_scales_with_its_input(x, factor):
    """A positive factor may be taken before or after: the bend has no size."""
    assert_close(ops.relu(factor * x), factor * ops.relu(x))


@law
@given(numbers)
def test_relu_and_its_mirror_make_the_number(x):
    """max(0, x) - max(0, -x) = x."""
    np.testing.assert_array_equal(ops.relu(x) - ops.relu(-x), x)


@law
@given(numbers)
def test_sigmoid_is_a_probability_and_its_complement(x):
    """Within 0 and 1, and sigma(-x) = 1 - sigma(x)."""
    out = ops.sigmoid(x)
    assert ((out >= 0) & (out <= 1)).all()
    assert np.abs(ops.sigmoid(-x) + out - 1).max() < 1e-14


@law
@given(numbers)
def test_sigmoid_is_softmax_of_two(x):
    """The probability of the first of two scores x and 0."""
    pairs = np.stack([x, np.zeros_like(x)], axis=-1)
    np.testing.assert_allclose(ops.sigmoid(x), ops.softmax(pairs)[..., 0], rtol=1e-13)


@law
@given(numbers)
def test_tanh_is_a_stretched_sigmoid(x):
    """tanh x = 2 sigma(2x) - 1."""
    assert np.abs(ops.tanh(x) - (2 * ops.sigmoid(2 * x) - 1)).max() < 1e-14


@law
@given(numbers)
def test_silu_and_its_mirror_make_the_number(x):
    """x sigma(x) + x sigma(-x) = x: the two gates share one number between them."""
    assert np.abs(ops.silu(x) - ops.silu(-x) - x).max() < 1e-12


@law
@given(numbers)
def test_swish_lies_between_half_and_relu(x):
    """beta = 0 halves, beta = 1 is SiLU, a large beta is nearly ReLU."""
    assert_close(ops.swish(x, beta=0.0), x / 2)
    assert_close(ops.swish(x), ops.silu(x))
    assert np.abs(ops.swish(x, beta=1e6) - ops.relu(x)).max() < 1e-6


@law
@given(numbers)
def test_hardsigmoid_is_never_far_from_sigmoid(x):
    """The ramp stays within 0.07 of the curve that it replaces."""
    assert np.abs(ops.hardsigmoid(x) - ops.sigmoid(x)).max() < 0.07


@law
@given(numbers)
def test_hardswish_is_exact_beyond_three(x):
    """From 3 on it is the number itself, up to -3 nothing."""
    out = ops.hardswish(x)
    np.testing.assert_array_equal(out[x >= 3], x[x >= 3])
    np.testing.assert_array_equal(out[x <= -3], 0)


@law
@given(numbers)
def test_gelu_and_its_mirror_make_the_number(x):
    """Phi(x) + Phi(-x) = 1, so gelu(x) - gelu(-x) = x, in both forms."""
    for form in ("none", "tanh"):
        mirrored = ops.gelu(x, form) - ops.gelu(-x, form)
        assert np.abs(mirrored - x).max() < 1e-12


@law
def test_gelu_has_two_forms_that_nearly_agree():
    """The tanh form is off by at most 4.8e-4, and by more than 4e-4 somewhere."""
    x = np.linspace(-10, 10, 20001)
    apart = np.abs(ops.gelu(x) - ops.gelu(x, "tanh")).max()
    assert 4e-4 < apart < 4.8e-4, f"the two forms differ by at most {apart:.1e}"


ENDS = {
    "relu": [0, 0, 1e30, np.inf],
    "sigmoid": [0, 0, 1, 1],
    "tanh": [-1, -1, 1, 1],
    "silu": [np.nan, 0, 1e30, np.inf],
    "swish": [np.nan, 0, 1e30, np.inf],
    "hardsigmoid": [0, 0, 1, 1],
    "hardswish": [np.nan, 0, 1e30, np.inf],
}


@law
@pytest.mark.parametrize("name, limits", ENDS.items())
def test_activation_at_the_ends(name, limits):
    """Huge numbers and infinities give the limits, and nothing overflows on the way.

    But -inf times a gate of 0 is nan, as in PyTorch; and nan stays nan.
    """
    x = np.array([-np.inf, -1e30, 1e30, np.inf, np.nan], np.float32)
    with np.errstate(over="raise", divide="raise", invalid="ignore"):
        out = getattr(ops, name)(x)
    np.testing.assert_allclose(out, [*limits, np.nan], rtol=1e-6)


@law
@pytest.mark.parametrize("form", ["none", "tanh"])
def test_gelu_of_huge_numbers(form):
    """The cube of 1e30 does not fit float32; the answer does."""
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        out = ops.gelu(np.array([-1e30, -100, 100, 1e30], np.float32), form)
    np.testing.assert_allclose(out, [0, 0, 100, 1e30], rtol=1e-6, atol=1e-30)
    assert np.isnan(ops.gelu(np.array([np.nan]), form)).all()


@oracle
@pytest.mark.parametrize("name", ["relu", "silu", "hardswish", "gelu"])
def test_activation_equals_torch(compare, name):
    """PyTorch's function of the same name, and its gradient."""
    compare(
        getattr(ops, name), lambda torch: getattr(torch.nn.functional, name), smooth(1)
    )


@oracle
@pytest.mark.parametrize("name", ["relu", "hardswish", "hardsigmoid"])
def test_activation_at_its_corners_equals_torch(compare, name):
    """Which of two slopes a corner has is a choice, and PyTorch's is kept: its value
    and its slope at -3, 0 and 3, and a step of float32 to both sides."""
    corners = np.float32([-3, 0, 3])
    x = np.stack([corners, np.nextafter(corners, 9), np.nextafter(corners, -9)])
    operator = getattr(ops, name)
    compare(
        operator,
        lambda torch: getattr(torch.nn.functional, name),
        x.astype(np.float64),
        tolerance=1e-7,  # hardsigmoid's slope in PyTorch is 1/6 in float32
    )


@oracle
def test_hardsigmoid_equals_torch(compare):
    """PyTorch's hardsigmoid, with the gradient of its relu6.

    hardsigmoid's own gradient has 1/6 with the digits of float32 even in float64.
    """

    def value(torch):
        return torch.nn.functional.hardsigmoid

    def with_gradient(torch):
        return lambda x: torch.nn.functional.relu6(x + 3) / 6

    compare(ops.hardsigmoid, value, smooth(7), gradients=False)
    compare(ops.hardsigmoid, with_gradient, smooth(7))


@oracle
def test_sigmoid_equals_torch(compare):
    """PyTorch's sigmoid and its gradient; each digit also far out in the tails."""
    compare(ops.sigmoid, lambda torch: torch.sigmoid, smooth(2))
    check_tails(compare, ops.sigmoid, lambda torch: torch.sigmoid)


@oracle
def test_tanh_equals_torch(compare):
    """PyTorch's tanh and its gradient, also near zero, where tanh x is x."""
    compare(ops.tanh, lambda torch: torch.tanh, smooth(3))
    check_tails(compare, ops.tanh, lambda torch: torch.tanh)


@oracle
def test_silu_keeps_its_digits_in_the_tails(compare):
    """At -80 the answer is about -80 e^-80, and every digit of it is there."""
    check_tails(compare, ops.silu, lambda torch: torch.nn.functional.silu)


@oracle
def test_swish_equals_torch_arithmetic(compare):
    """x sigma(beta x), with a beta learnt for each feature."""

    def reference(torch):
        return lambda x, beta: x * torch.sigmoid(beta * x)

    compare(ops.swish, reference, smooth(4), random_arrays(5)(7))


@oracle
def test_gelu_tanh_form_equals_torch(compare):
    """PyTorch's approximate="tanh", and its gradient."""
    compare(
        ops.gelu, lambda torch: torch.nn.functional.gelu, smooth(6), approximate="tanh"
    )


@oracle
def test_gelu_keeps_its_digits_in_the_tails(compare):
    """Written with 1 + erf the lower tail cancels; written with erfc it does not.

    float64 keeps every digit, float32 three of them down to -6.
    """

    def exact(torch):
        return lambda x: x * torch.special.erfc(-x * 0.5**0.5) / 2

    def tanh_form(torch):
        return lambda x: (
            x * torch.sigmoid((8 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))
        )

    near = TAILS[TAILS > -6]
    check_tails(compare, ops.gelu, exact, near, single=1e-3, double=1e-13)
    near = TAILS[TAILS > -5]  # the logistic's argument grows with the cube
    check_tails(compare, lambda x: ops.gelu(x, "tanh"), tanh_form, near, double=1e-13)


@derivative
def test_relu_derivative():
    """1 where the number passed, 0 where it did not."""
    check_vjp(ops.relu, smooth(11))


@derivative
def test_relu_derivative_at_the_corner_is_zero():
    """Any slope from 0 to 1 would do; everybody takes 0."""
    zero = np.zeros(2)
    np.testing.assert_array_equal(ops.relu_vjp(np.ones(2), zero), [0, 0])


@derivative
def test_sigmoid_derivative():
    """sigma (1 - sigma): a quarter in the middle, nothing in the tails."""
    check_vjp(ops.sigmoid, smooth(12))


@derivative
def test_tanh_derivative():
    """1 - tanh squared."""
    check_vjp(ops.tanh, smooth(13))


@derivative
def test_silu_derivative():
    """The gate, and the number times the gate's slope."""
    check_vjp(ops.silu, smooth(14))


@derivative
@pytest.mark.parametrize("beta", [0.5, np.array([0.3, -1.2, 2.0, 0.0, 1.0, 5.0, -0.4])])
def test_swish_derivative(beta):
    """In x, and in beta where it is an array."""
    check_vjp(ops.swish, smooth(15), beta)


@oracle
@pytest.mark.parametrize("name", ["hardsigmoid", "hardswish"])
def test_ramps_have_the_slope_of_torch_at_their_corners(compare, name):
    """At 3 and at -3 it is that of the outside: 0, and 1 where the number passes."""

    def reference(torch):
        return getattr(torch.nn.functional, name)

    corners = np.array([-3.0, 3.0])
    compare(getattr(ops, name), reference, corners)
    slope = pulled_back(getattr(ops, name), np.ones(2), corners)[0]
    np.testing.assert_array_equal(slope, [0, name == "hardswish"])


@derivative
def test_hardsigmoid_derivative():
    """1/6 on the ramp, 0 beside it."""
    check_vjp(ops.hardsigmoid, smooth(16))


@derivative
def test_hardswish_derivative():
    """A line from -1/2 to 3/2 on the ramp, with a jump at either end."""
    check_vjp(ops.hardswish, smooth(17))


@derivative
@pytest.mark.parametrize("form", ["none", "tanh"])
def test_gelu_derivative(form):
    """Phi(x) + x phi(x); also where x is so large that its square overflows."""
    check_vjp(ops.gelu, smooth(18), approximate=form)
    far = np.array([-1e30, 1e30], np.float32)
    with np.errstate(over="raise", invalid="raise"):
        slope = ops.gelu_vjp(np.ones_like(far), far, form)
    np.testing.assert_allclose(slope, [0, 1], atol=1e-30)


@contract
@pytest.mark.parametrize("name", NAMES)
def test_activation_refuses_a_list(name):
    """The message says what came instead of an array."""
    with pytest.raises(TypeError, match=f"{name}: x must be an array, not list"):
        getattr(ops, name)([1.0, 2.0])


@contract
def test_gelu_refuses_a_form_that_it_does_not_know():
    """The message names the two that there are."""
    with pytest.raises(ValueError, match='"none" or "tanh", not \'erf\''):
        ops.gelu(np.zeros(1), approximate="erf")
