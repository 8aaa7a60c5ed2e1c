r"""Distillation: learn from a teacher's doubts, not from its answer alone.

That this picture is a cat is one fact. That it could be a lynx, and could not be a
lorry, is more, and the teacher's probabilities say so. Small probabilities hold most
of that and weigh least, so both models are softened by a temperature first.
"""

from __future__ import annotations

from .. import ops
from ..autodiff import value_of
from ..shapes import ShapeError


def distillation_loss(student_logits, teacher_logits, temperature=2.0):
    r"""How far the student's distribution is from the teacher's:
    $\tau^2\,\mathrm{KL}(p \,\|\, q)$, with $p$ the teacher's $\mathrm{softmax}(s/\tau)$
    and $q$ the student's, averaged.

    Both are (..., c), and the mean is over all rows. The teacher is given, and
    gets no gradient. That of the student is $\tau\,(q - p)$ over the number of
    rows. The difference shrinks like $1/\tau$, so $\tau^2$ keeps the weight of this
    loss beside others, whatever the temperature is.

    Source: [Cortes] 7.4, which names the other divergence and has no square.
    Oracle: torch.nn.functional.kl_div, reduction="batchmean", times T squared.

    >>> loss = distillation_loss(np.zeros((1, 2)), np.array([[0.0, 1000.0]]), 1.0)
    >>> round(float(loss), 8)  # log 2
    0.69314718
    """
    if student_logits.shape != teacher_logits.shape or student_logits.ndim == 0:
        raise ShapeError(
            f"distillation_loss: the student has {student_logits.shape} and the "
            f"teacher {teacher_logits.shape}; both need the same rows and classes"
        )
    if not 0 < temperature < float("inf"):
        raise ValueError(
            f"distillation_loss: temperature is above 0, not {temperature!r}"
        )
    n_classes = student_logits.shape[-1]
    student = (student_logits * (1 / temperature)).reshape(-1, n_classes)
    teacher = (value_of(teacher_logits) * (1 / temperature)).reshape(-1, n_classes)
    log_p_student, log_p_teacher = ops.log_softmax(student), ops.log_softmax(teacher)
    divergence = ops.kl_div(log_p_student, log_p_teacher, "batchmean", log_target=True)
    return divergence * float(temperature) ** 2


def hint_loss(student_features, teacher_features, projection=None, bias=None):
    r"""Imitate what the teacher computes on the way: $\langle (W f_s + b - f_t)^2
    \rangle$.

    student_features (..., d_s), teacher_features (..., d_t). The projection W
    (d_t, d_s) is learnt with the student and thrown away; it may be left out where
    both have the same width. The teacher gets no gradient.

    Source: [Cortes] 11.3, which distils 0.5B into 0.1B and names no loss.
    Oracle: torch.nn.functional.mse_loss of torch.nn.functional.linear.

    >>> hint_loss(np.ones((2, 1)), np.full((2, 2), 3.0), np.array([[1.0], [3.0]]))
    array(2.)
    """
    if projection is not None:
        student_features = ops.linear(student_features, projection, bias)
    return ops.mse_loss(student_features, value_of(teacher_features))
