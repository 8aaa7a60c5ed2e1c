"""The spec of refvlm/objectives/distillation.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import ops
from refvlm.autodiff import Variable, grad
from refvlm.objectives import distillation
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    check_dtype,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)

logits_of = tensors((3, 4), -5, 5)


@example
def test_distillation_loss_of_a_coin_against_a_certainty():
    """The teacher is sure, the student tosses a coin: log 2."""
    loss = distillation.distillation_loss(
        np.zeros((1, 2)), np.array([[0.0, 1000.0]]), 1.0
    )
    assert abs(loss - np.log(2)) < 1e-12


@example
def test_hint_loss_through_a_projection():
    """1 becomes (1, 3); the teacher has (3, 3); squares 4 and 0."""
    loss = distillation.hint_loss(
        np.ones((2, 1)), np.full((2, 2), 3.0), np.array([[1.0], [3.0]])
    )
    assert_close(loss, np.float64(2))


@law
@given(logits_of, logits_of, st.floats(0.5, 10))
def test_distillation_loss_is_the_divergence_from_the_teacher(student, teacher, T):
    """The teacher's distribution is the one that is averaged over."""
    p, q = ops.softmax(teacher / T), ops.softmax(student / T)
    expected = T**2 * (p * np.log(p / q)).sum() / 3
    assert abs(distillation.distillation_loss(student, teacher, T) - expected) < 1e-9


@law
@given(logits_of, st.floats(-10, 10), st.floats(0.5, 10))
def test_distillation_loss_is_zero_for_the_same_distribution(teacher, shift, T):
    """A constant added to all scores of the student is not seen."""
    assert abs(distillation.distillation_loss(teacher + shift, teacher, T)) < 1e-9


@law
@given(logits_of, logits_of)
def test_distillation_loss_differs_from_cross_entropy_by_a_constant(student, teacher):
    """At a temperature of 1 it is learning from soft targets, less their entropy."""
    soft = ops.softmax(teacher)
    entropy = ops.cross_entropy(teacher, soft)
    distilled = distillation.distillation_loss(student, teacher, 1.0)
    assert abs(distilled - (ops.cross_entropy(student, soft) - entropy)) < 1e-10


@derivative
@given(logits_of, logits_of)
def test_distillation_loss_has_the_gradient_of_soft_targets(student, teacher):
    """The entropy of the teacher is a constant for the student."""
    soft = ops.softmax(teacher)
    distilled = grad(distillation.distillation_loss)(student, teacher, 1.0)
    learnt = grad(ops.cross_entropy)(student, soft)
    assert np.abs(distilled - learnt).max() < 1e-12


@law
@given(logits_of, logits_of)
def test_distillation_loss_at_a_high_temperature_compares_scores(student, teacher):
    """As T grows, it becomes half the mean square of the centred scores, over c."""

    def centered(x):
        return x - x.mean(axis=1, keepdims=True)

    expected = ((centered(student) - centered(teacher)) ** 2).sum() / (2 * 4 * 3)
    assert abs(distillation.distillation_loss(student, teacher, 1e4) - expected) < 0.02


@law
def test_distillation_loss_of_positions_is_that_of_rows():
    """(b, t, c): the mean is over all positions, not over the batch alone."""
    draw = random_arrays(1)
    student, teacher = draw(2, 3, 4), draw(2, 3, 4)
    rows = distillation.distillation_loss(student.reshape(6, 4), teacher.reshape(6, 4))
    assert_close(distillation.distillation_loss(student, teacher), rows)


@derivative
def test_distillation_loss_gives_the_teacher_no_gradient():
    """It is given: even a traced teacher is taken as it stands."""
    student, teacher = random_arrays(2)(3, 4), Variable(random_arrays(3)(3, 4))
    loss = distillation.distillation_loss(student, teacher)
    assert not isinstance(loss, Variable)
    assert not isinstance(distillation.hint_loss(student, teacher), Variable)


@law
def test_distillation_loss_and_hint_loss_keep_the_dtype():
    """float16 in, float16 out; and nothing that came in was written to."""
    draw = random_arrays(4)
    check_dtype(distillation.distillation_loss, draw(3, 4), draw(3, 4), 4.0)
    check_dtype(distillation.hint_loss, draw(3, 2), draw(3, 4), draw(4, 2), draw(4))


@oracle
@pytest.mark.parametrize("temperature", [1.0, 2.0, 8.0])
def test_distillation_loss_equals_torch(compare, temperature):
    """T^2 F.kl_div(log_softmax(s/T), softmax(t/T), "batchmean"), and its gradient."""
    teacher = random_arrays(5)(3, 4, scale=3)

    def theirs(torch):
        given = torch.from_numpy(teacher)
        return lambda student: (
            temperature**2
            * torch.nn.functional.kl_div(
                torch.log_softmax(student / temperature, -1),
                torch.softmax(given.to(student.dtype) / temperature, -1),
                reduction="batchmean",
            )
        )

    compare(
        lambda student: distillation.distillation_loss(
            student, teacher.astype(student.dtype), temperature
        ),
        theirs,
        random_arrays(6)(3, 4, scale=3),
    )


@oracle
def test_hint_loss_equals_torch(compare):
    """PyTorch's mse_loss of linear, and its gradients in features and projection."""
    teacher = random_arrays(7)(3, 4)
    draw = random_arrays(8)
    compare(
        lambda features, projection, bias: distillation.hint_loss(
            features, teacher.astype(features.dtype), projection, bias
        ),
        lambda torch: (
            lambda features, projection, bias: torch.nn.functional.mse_loss(
                torch.nn.functional.linear(features, projection, bias),
                torch.from_numpy(teacher),
            )
        ),
        draw(3, 2),
        draw(4, 2),
        draw(4),
    )


@derivative
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_distillation_loss_derivative(temperature):
    """Through the temperature, in the student's scores."""
    teacher = random_arrays(9)(3, 4)
    check_vjp(
        lambda student: distillation.distillation_loss(student, teacher, temperature),
        random_arrays(10)(3, 4),
    )


@derivative
@given(logits_of, logits_of, st.floats(0.5, 20))
def test_distillation_loss_derivative_in_closed_form(student, teacher, T):
    """T (p_s - p_t) over the rows."""
    gradient = grad(distillation.distillation_loss)(student, teacher, T)
    expected = T * (ops.softmax(student / T) - ops.softmax(teacher / T)) / 3
    assert np.abs(gradient - expected).max() < 1e-12


@derivative
def test_hint_loss_derivative():
    """In the student's features, the projection and its bias."""
    teacher, draw = random_arrays(11)(3, 4), random_arrays(12)
    check_vjp(
        lambda features, projection, bias: distillation.hint_loss(
            features, teacher, projection, bias
        ),
        draw(3, 2),
        draw(4, 2),
        draw(4),
    )


@contract
def test_distillation_loss_refuses_another_vocabulary():
    """A teacher with other classes cannot be imitated class by class."""
    with pytest.raises(ShapeError, match=r"student has \(3, 4\) .* \(3, 5\)"):
        distillation.distillation_loss(np.zeros((3, 4)), np.zeros((3, 5)))


@contract
@pytest.mark.parametrize("temperature", [0.0, -2.0, float("nan")])
def test_distillation_loss_refuses_what_is_no_temperature(temperature):
    """0 would divide by nothing."""
    with pytest.raises(ValueError, match="temperature is above 0"):
        distillation.distillation_loss(np.zeros((3, 4)), np.zeros((3, 4)), temperature)


@contract
def test_hint_loss_refuses_features_that_do_not_meet():
    """Without a projection, student and teacher need the same width."""
    with pytest.raises(ShapeError, match=r"input is \(3, 2\) and target \(3, 4\)"):
        distillation.hint_loss(np.zeros((3, 2)), np.zeros((3, 4)))
