"""The spec of refvlm/quantize/fake.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import quantize
from refvlm.autodiff import grad
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    check_dtype,
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

numbers = tensors(shapes_of(2), low=-100, high=100)
steps = st.integers(-4, 4).map(lambda power: 2.0**power)
LOW, HIGH = -8, 7


def edges(step, zero_point=0, low=LOW, high=HIGH):
    """The two numbers at which the range ends: from the middle to the even level."""
    return np.array([low - zero_point - 0.5, high - zero_point + 0.5]) * step


def on_every_edge(steps=(0.3, 0.55, 1.7)):
    """float32 numbers in the middle between two levels and next to it, on both sides:
    where another way of dividing is seen."""
    middles = np.arange(-12, 12) + 0.5
    some = np.concatenate([(middles * np.float32(step)) for step in steps])
    some = some.astype(np.float32)
    down, up = np.nextafter(some, np.float32(-99)), np.nextafter(some, np.float32(99))
    return np.stack([down, some, up])


def gradient_of_sum(x, step, zero_point):
    """Of fake_quantize, all its results added up."""
    return grad(lambda x: quantize.fake_quantize(x, step, zero_point, LOW, HIGH).sum())(
        x
    )


@example
def test_fake_quantize_rounds_to_halves_and_clips():
    """Five levels of a half: 0.3 goes to 0.5, 0.75 to the even 1, and 9 to the last."""
    x = np.array([-9.0, 0.2, 0.3, 0.75, 9.0])
    np.testing.assert_array_equal(
        quantize.fake_quantize(x, 0.5, 0, -2, 2), [-1, 0, 0.5, 1, 1]
    )


@example
def test_fake_quantize_parts_from_quantize_linear_at_a_middle():
    """-2.25 is seven and a half steps of 0.3, and in float32 a bit more or less: times
    1/s it goes to -8, over s to -7."""
    x, step = np.float32([-2.25]), np.float32(0.3)
    assert quantize.fake_quantize(x, step, 0, -8, 7) == -8 * step
    codes = quantize.quantize_linear(x, np.asarray(step), np.array(0, np.int8))
    assert codes == -7


@example
def test_first_step_and_its_factor():
    """Twice the mean size over the last level's root; one over the root of both."""
    x = np.array([[-3.0, 1.0], [8.0, 0.0]])
    np.testing.assert_array_equal(quantize.first_step(x, 4), 3)
    np.testing.assert_array_equal(quantize.first_step(x, 4, axis=0), [2, 4])
    assert quantize.step_grad_factor(64, 4) == 1 / 16


@example
def test_straight_through_has_the_rounded_value():
    """What it was rounded to, and nothing of what it was."""
    x, signs = np.array([0.2, -3.0]), np.array([1.0, -1.0])
    np.testing.assert_array_equal(quantize.straight_through(x, signs), [1, -1])


@law
@given(numbers, steps, st.integers(LOW, HIGH))
def test_fake_quantize_of_the_grid_changes_nothing(x, step, zero_point):
    """Rounding twice is rounding once."""
    once = quantize.fake_quantize(x, step, zero_point, LOW, HIGH)
    twice = quantize.fake_quantize(once, step, zero_point, LOW, HIGH)
    np.testing.assert_array_equal(once, twice)


@law
@given(numbers, steps, st.integers(LOW, HIGH))
def test_fake_quantize_is_within_half_a_step_of_the_clipped_number(x, step, zero_point):
    """The error has two parts: half a step at most, and what lies beyond the range."""
    ends = (LOW - zero_point) * step, (HIGH - zero_point) * step
    out = quantize.fake_quantize(x, step, zero_point, LOW, HIGH)
    assert (np.abs(out - np.clip(x, *ends)) <= step / 2).all()
    assert np.isin(out / step + zero_point, np.arange(LOW, HIGH + 1)).all()


@law
@given(tensors(st.tuples(st.integers(1, 4), st.just(3), st.integers(0, 4))))
def test_fake_quantize_along_an_axis_is_each_slice_by_itself(x):
    """One step and one zero point for each index, whichever end it is counted from."""
    scale, zeros = np.array([0.5, 0.25, 2.0]), np.array([0, -3, 5])
    each = [
        quantize.fake_quantize(x[:, i], scale[i], zeros[i], LOW, HIGH) for i in range(3)
    ]
    for axis in (1, -2):
        out = quantize.fake_quantize(x, scale, zeros, LOW, HIGH, axis=axis)
        np.testing.assert_array_equal(out, np.stack(each, axis=1))


@law
def test_fake_quantize_keeps_dtypes_and_inputs():
    """float16 is computed in float32 and rounded once; steps may be of any dtype."""
    draw = random_arrays(3)
    check_dtype(quantize.fake_quantize, draw(3, 4), 0.3, 1, LOW, HIGH)
    x, scale = draw(3, 4).astype(np.float32), np.array([0.3, 0.2, 0.1])
    out = quantize.fake_quantize(x, scale, np.zeros(3, int), LOW, HIGH, axis=0)
    assert out.dtype == np.float32
    narrow = quantize.fake_quantize(x, scale.astype("f4"), np.zeros(3, int), -8, 7, 0)
    np.testing.assert_array_equal(out, narrow)
    check_dtype(
        quantize.learnable_fake_quantize,
        *(draw(3, 4), np.array(0.3), np.array(1), LOW, HIGH),
    )
    check_dtype(quantize.straight_through, draw(3), draw(3))
    for dtype in (np.float16, np.float32, np.float64):
        assert quantize.first_step(draw(3).astype(dtype), 7).dtype == dtype


@law
@given(numbers)
def test_straight_through_is_its_second_argument(x):
    """To the bit, where x + (rounded - x) is not."""
    rounded = np.sign(x) * 0.1
    np.testing.assert_array_equal(quantize.straight_through(x, rounded), rounded)


@law
@given(numbers, steps)
def test_learnable_fake_quantize_is_fake_quantize(x, step):
    """The same value and gradient to x, wherever the zero point is rounded to."""
    for zero_point, level in ((0.0, 0), (2.4, 2), (-3.6, -4), (2.5, 2), (99.0, HIGH)):
        learnt = np.array(step), np.array(zero_point), LOW, HIGH
        out = quantize.learnable_fake_quantize(x, *learnt)
        plain = quantize.fake_quantize(x, step, level, LOW, HIGH)
        np.testing.assert_array_equal(out, plain)
        ones = np.ones_like(x)
        d_x = pulled_back(quantize.learnable_fake_quantize, ones, x, *learnt)[0]
        np.testing.assert_array_equal(d_x, gradient_of_sum(x, step, level))


@law
def test_first_step_grows_with_what_it_divides():
    """Twice the numbers, twice the step; of zeros it is still a step."""
    x = random_arrays(4)(5, 6)
    assert_close(quantize.first_step(2 * x, 7), 2 * quantize.first_step(x, 7))
    assert_close(
        quantize.first_step(x, 7, axis=-1),
        np.array([quantize.first_step(column, 7) for column in x.T]),
    )
    assert quantize.first_step(np.zeros(3), 7) > 0


@oracle
@pytest.mark.parametrize("zero_point", [0, -3, 7])
def test_fake_quantize_equals_torch(compare, zero_point):
    """Per tensor: value and gradient, with a zero point at an end too."""
    x = random_arrays(11)(4, 5, 6, scale=3.0)
    compare(
        lambda x: quantize.fake_quantize(x, 0.40625, zero_point, LOW, HIGH),
        lambda torch: (
            lambda x: torch.fake_quantize_per_tensor_affine(
                x, 0.40625, zero_point, LOW, HIGH
            )
        ),
        x,
    )


@oracle
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_fake_quantize_equals_torch_along_an_axis(compare, axis):
    """Per channel, at every axis, each with a step and a zero point of its own."""
    draw = random_arrays(12)
    x = draw(4, 4, 4, scale=3.0)
    scale = 2.0 ** np.array([-2, 0, -1, 1]) * 0.8125
    zeros = np.array([0, -8, 7, 2])

    def reference(torch):
        return lambda x: torch.fake_quantize_per_channel_affine(
            x, torch.tensor(scale).float(), torch.tensor(zeros).int(), axis, LOW, HIGH
        )

    compare(
        lambda x: quantize.fake_quantize(x, scale, zeros, LOW, HIGH, axis=axis),
        reference,
        x,
    )


@oracle
def test_fake_quantize_equals_torch_on_every_edge(compare):
    """In float32 to the bit, in the middle between levels and beside it, and the same
    mask at both ends of the range."""
    x = on_every_edge()
    cases = [(step, zero) for step in (0.3, 0.55, 1.7) for zero in (0, -2, 5)]

    def ask(torch):
        answers = {}
        for number, (step, zero) in enumerate(cases):
            leaf = torch.tensor(x, requires_grad=True)
            out = torch.fake_quantize_per_tensor_affine(leaf, step, zero, LOW, HIGH)
            out.sum().backward()
            answers[f"{number}.output"] = out.detach().numpy()
            answers[f"{number}.gradient"] = leaf.grad.numpy()
        return answers

    answers = compare.answers(ask, (x, cases))
    for number, (step, zero) in enumerate(cases):
        ours = quantize.fake_quantize(x, step, zero, LOW, HIGH)
        gradient = gradient_of_sum(x, step, zero)
        np.testing.assert_array_equal(ours, answers[f"{number}.output"])
        np.testing.assert_array_equal(gradient, answers[f"{number}.gradient"])


@oracle
def test_straight_through_equals_torch(compare):
    """The usual line of PyTorch."""
    x = random_arrays(13)(3, 5)

    def reference(torch):
        return lambda x: x + (x.sign() * 0.5 - x).detach()

    def ours(x):
        value = x if isinstance(x, np.ndarray) else x.value
        return quantize.straight_through(x, np.sign(value) * 0.5)

    compare(ours, reference, x)


@oracle
@pytest.mark.parametrize("zero_point", [0.0, -2.25, 3.75, 12.0, -12.0])
@pytest.mark.parametrize("axis", [None, 1])
def test_learnable_fake_quantize_equals_torch(compare, axis, zero_point):
    """Value, and the gradients to x, the step and the zero point, in float32: PyTorch
    has no other. Its backward per tensor takes -1 for a zero point of -2 and 3 for 2.5,
    where its forward takes -2 and 2; so one channel is asked there, and no middle."""
    draw = random_arrays(14)
    x, d_out = draw(5, 3, 7, scale=3.0), draw(5, 3, 7)
    count = 1 if axis is None else 3
    scale = np.array([0.40625, 0.8125, 1.25])[:count]
    zeros = np.array([0.0, 1.25, -1.25])[:count] + zero_point
    inputs = [value.astype(np.float32) for value in (x, scale, zeros)]

    def ask(torch):
        leaves = [torch.tensor(value, requires_grad=True) for value in inputs]
        if axis is None and zero_point >= 0:
            out = torch._fake_quantize_learnable_per_tensor_affine(
                *leaves, LOW, HIGH, 0.25
            )
        else:
            leaf, *grid = leaves
            out = torch._fake_quantize_learnable_per_channel_affine(
                leaf if axis else leaf[None], *grid, axis or 0, LOW, HIGH, 0.25
            ).reshape(leaf.shape)
        out.backward(torch.tensor(d_out).float())
        return {
            "output": out.detach().numpy(),
            **{str(i): leaf.grad.numpy() for i, leaf in enumerate(leaves)},
        }

    answers = compare.answers(ask, (inputs, d_out, axis))
    options = {"quant_min": LOW, "quant_max": HIGH, "axis": axis, "grad_factor": 0.25}
    out = quantize.learnable_fake_quantize(*inputs, **options)
    np.testing.assert_array_equal(out, answers["output"])
    gradients = pulled_back(
        quantize.learnable_fake_quantize, d_out.astype(np.float32), *inputs, **options
    )
    for i, gradient in enumerate(gradients):
        assert_close(gradient, answers[str(i)])


@derivative
def test_fake_quantize_passes_the_gradient_of_what_was_not_clipped():
    """With levels from -1 to 1 the range is from -1.5 to 1.5; both middles go to the
    even level 2, which is outside."""
    x = np.array([-1.6, -1.5, -1.4, 0.0, 1.4, 1.5, 1.6])
    gradient = grad(lambda x: quantize.fake_quantize(x, 1.0, 0, -1, 1).sum())(x)
    np.testing.assert_array_equal(gradient, [0, 0, 1, 1, 1, 0, 0])


@derivative
def test_straight_through_a_sign():
    """The sign's value, and the gradient of x^2 taken at the sign: 2 and -2."""

    def loss(x):
        rounded = quantize.straight_through(x, np.sign(np.array([0.2, -3.0])))
        return (rounded * rounded).sum()

    np.testing.assert_array_equal(grad(loss)(np.array([0.2, -3.0])), [2, -2])


@derivative
def test_learnable_fake_quantize_pulls_its_step_both_ways():
    """What is clipped at level 1 wants the step larger by 1; 0.4, rounded down to 0,
    wants it smaller by 0.4."""

    def loss(scale, x):
        return quantize.learnable_fake_quantize(x, scale, np.array(0), -1, 1).sum()

    step = np.array(1.0)
    assert grad(loss)(step, np.array([9.0])) == 1
    assert_close(grad(loss)(step, np.array([0.4])), np.array(-0.4))


@derivative
@given(numbers, steps, st.integers(LOW, HIGH))
def test_fake_quantize_has_the_gradient_of_clipping(x, step, zero_point):
    """The derivative of clip, half a step wider on both sides, and not the staircase's,
    which is zero nearly everywhere."""
    first, last = edges(step, zero_point)
    x = np.where((x == first) | (x == last), 0.0, x)
    (gradient,) = pulled_back(
        lambda x: quantize.fake_quantize(x, step, zero_point, LOW, HIGH),
        np.full_like(x, 3.0),
        x,
    )
    np.testing.assert_array_equal(gradient, np.where((x > first) & (x < last), 3.0, 0))


@derivative
@given(tensors(shapes_of(2)))
def test_straight_through_gives_nothing_to_how_it_was_rounded(x):
    """Also where the rounding was computed from x on the tape: its scale would learn
    in secret, and the gradient would not be that of the value."""

    def loss(x):
        scale = (x * x).mean()
        return (quantize.straight_through(x, scale * np.ones(x.shape)) * 3.0).sum()

    np.testing.assert_array_equal(grad(loss)(x), np.full_like(x, 3.0))


@derivative
def test_learnable_fake_quantize_derivative_of_the_step():
    """At fixed levels s (q - z) is a straight line in s, and so are central differences
    where no number changes its level. What is learnt adds the rounding's own part, that
    of x/s, with the rounding as the identity: -x/s inside the range."""
    x = random_arrays(15)(6, 7, scale=3.0)
    step, h = 0.40625, 1e-7
    levels = np.rint(x / step)
    inside = (levels >= LOW) & (levels <= HIGH)
    # Clear of the middles, where a level would change between the two steps.
    x = np.where(np.abs(x / step - np.floor(x / step) - 0.5) < 1e-3, 0.0, x)
    d_out = random_arrays(16)(6, 7)

    def value(step):
        return quantize.learnable_fake_quantize(
            x, np.array(step), np.array(0), LOW, HIGH
        )

    differences = (value(step + h) - value(step - h)) / (2 * h)
    through = np.where(inside, -x / step, 0)
    expected = (d_out * (differences + through)).sum()
    _, gradient, *_ = pulled_back(
        quantize.learnable_fake_quantize,
        *(d_out, x, np.array(step), np.array(0.0), LOW, HIGH),
    )
    assert_close(gradient, np.asarray(expected), 1e-6)


@derivative
def test_learnable_fake_quantize_derivative_of_the_zero_point():
    """The surrogate is s (clip(x/s + z) - z), a function that has a derivative: central
    differences of that, in all three."""
    draw = random_arrays(17)
    x = draw(6, 7, scale=3.0)
    d_out, step, h = draw(6, 7), 0.40625, 1e-6
    # On levels the rounding changes nothing, so both have the same value.
    x = np.rint(x / step) * step

    def surrogate(zero):
        return step * (np.clip(x / step + zero, LOW - 0.5, HIGH + 0.5) - zero)

    expected = (d_out * (surrogate(1 + h) - surrogate(1 - h))).sum() / (2 * h)
    _, _, gradient, *_ = pulled_back(
        quantize.learnable_fake_quantize,
        *(d_out, x, np.array(step), np.array(1.0), LOW, HIGH),
    )
    assert_close(gradient, np.asarray(expected), 1e-6)


@contract
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_fake_quantize_refuses_what_is_not_finite(bad):
    """On a grid it would look like a number."""
    x = np.array([0.0, bad])
    with pytest.raises(ValueError, match="fake_quantize: x holds 1 number that is NaN"):
        quantize.fake_quantize(x, 1.0, 0, LOW, HIGH)
    with pytest.raises(ValueError, match="learnable_fake_quantize: x holds 1 number"):
        quantize.learnable_fake_quantize(x, np.array(1.0), np.array(0), LOW, HIGH)
    with pytest.raises(ValueError, match="first_step: x holds 1 number"):
        quantize.first_step(x, 7)


@contract
@pytest.mark.parametrize("scale", [0.0, -1.0, np.nan, np.inf, 1e-45, 1e300])
def test_fake_quantize_refuses_steps_without_a_size(scale):
    """Of which 1/s is not a number to multiply by."""
    with pytest.raises(ValueError, match="every scale is from"):
        quantize.fake_quantize(np.zeros(2), scale, 0, LOW, HIGH)
    with pytest.raises(ValueError, match="every scale is from"):
        quantize.learnable_fake_quantize(
            np.zeros(2), np.array(scale), np.array(0), LOW, HIGH
        )


@contract
@pytest.mark.parametrize(
    "arguments, message",
    [
        ((1.0, 8, LOW, HIGH), "zero points are whole numbers from -8 to 7"),
        ((1.0, 0.5, LOW, HIGH), "zero points are whole numbers"),
        ((1.0, 0, HIGH, LOW), "from a whole number to one that is not lower"),
        ((1.0, 0, -1.5, 1), "from a whole number"),
        (([1.0, 1.0], 0, LOW, HIGH), "scale is a number or an array"),
        ((np.ones(3), 0, LOW, HIGH), r"scale is \(3,\), and x \(2, 3\) wants one"),
        ((np.ones(3), np.zeros(3, int), LOW, HIGH, 0), r"wants \(2,\) along axis 0"),
        ((1.0, 0, LOW, HIGH, 0), r"scale is \(\), and x"),
        ((np.ones(2), np.zeros(2, int), LOW, HIGH, 2), "axis is 2, but x"),
    ],
)
def test_fake_quantize_refuses_what_is_no_grid(arguments, message):
    """Each by its name, with what it should have been."""
    with pytest.raises((ValueError, TypeError), match=message):
        quantize.fake_quantize(np.zeros((2, 3)), *arguments)


@contract
def test_fake_quantize_has_no_gradient_for_its_step():
    """Which would be lost in silence; learnable_fake_quantize has one."""
    with pytest.raises(TypeError, match="not differentiable in scale"):
        grad(lambda s: quantize.fake_quantize(np.ones(2), s, 0, -8, 7).sum())(
            np.array(1.0)
        )


@contract
def test_straight_through_refuses_another_shape():
    """Broadcasting would hide that something else was rounded."""
    with pytest.raises(ShapeError, match=r"x is \(2,\) and rounded \(1,\)"):
        quantize.straight_through(np.ones(2), np.ones(1))


@contract
def test_learnable_fake_quantize_refuses_a_lost_zero_point():
    """NaN would spread over everything."""
    with pytest.raises(ValueError, match="zero_point holds 1 number"):
        quantize.learnable_fake_quantize(
            np.ones(2), np.array(1.0), np.array(np.nan), LOW, HIGH
        )


@contract
@pytest.mark.parametrize("name", ["first_step", "step_grad_factor"])
def test_first_step_refuses_no_numbers_and_no_levels(name):
    """Of nothing there is no mean, and without a level above zero no root."""
    function = getattr(quantize, name)
    nothing, some = (np.ones(0), np.ones(2)) if name == "first_step" else (0, 2)
    with pytest.raises(ShapeError, match=f"{name}: of 0 numbers"):
        function(nothing, 7)
    with pytest.raises(ValueError, match="quant_max is 1 or more, not 0"):
        function(some, 0)
