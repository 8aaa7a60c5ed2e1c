"""The spec of refvlm/ops/losses.py."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refvlm import ops
from refvlm.autodiff import grad
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    call,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
    tensors,
)

CLASSES = np.array([2, 0, -100, 4, 0, -100])
draw = random_arrays(2026)
WEIGHT = np.abs(draw(5))
CALLS = {
    "cross_entropy": [
        call(draw(6, 5), CLASSES, weight=WEIGHT, reduction="sum"),
        call(draw(6, 5), CLASSES, weight=WEIGHT, reduction="none"),
        call(draw(6, 5), CLASSES),
        call(draw(6, 5), np.maximum(CLASSES, 0), weight=WEIGHT, ignore_index=4),
        call(draw(2, 5, 3), np.array([[2, 0, 4], [1, 1, 3]]), reduction="none"),
        call(draw(5), np.array(3)),
        call(draw(2, 5, 3), np.full((2, 3), -100), reduction="sum"),
        call(draw(0, 5), np.zeros(0, int), reduction="none"),
        call(draw(6, 5), CLASSES, weight=WEIGHT, label_smoothing=0.2),
        call(draw(4, 5, 3), np.abs(draw(4, 5, 3)), weight=WEIGHT, label_smoothing=0.2),
        call(draw(5), np.abs(draw(5)), reduction="none"),
    ],
    "nll_loss": [
        call(draw(6, 5), CLASSES, reduction="sum"),
        call(draw(2, 5, 3), np.array([[2, 0, 4], [1, 1, 3]]), ignore_index=1),
        call(draw(5), np.array(3), reduction="none"),
        call(draw(6, 5), CLASSES, weight=WEIGHT),
    ],
}
scores_of = tensors((6, 5))
classes_of = hnp.arrays(np.int64, 6, elements=st.integers(0, 4))


def distributions(seed, *shape):
    """Probabilities along the last axis."""
    return ops.softmax(random_arrays(seed)(*shape))


@example
def test_cross_entropy_of_a_model_that_knows_nothing():
    """Four equal scores: the right class has 1/4, and the surprise is log 4."""
    loss = ops.cross_entropy(np.zeros((1, 4)), np.array([3]))
    assert_close(loss, np.log(4.0))


@example
def test_cross_entropy_of_proportions():
    """Scores log 1, log 2 and log 5 are 1/8, 2/8, 5/8: the last one surprises least."""
    scores = np.log([[1.0, 2.0, 5.0]] * 3)
    losses = ops.cross_entropy(scores, np.array([0, 1, 2]), reduction="none")
    assert_close(losses, np.log([8, 4, 8 / 5]))


@example
def test_cross_entropy_smoothed():
    """Smoothing by 0.2 over two classes asks for 0.9 and 0.1."""
    scores = np.log([[0.8, 0.2]])
    loss = ops.cross_entropy(scores, np.array([0]), label_smoothing=0.2)
    assert_close(loss, -(0.9 * np.log(0.8) + 0.1 * np.log(0.2)))


@example
def test_nll_loss_picks_one_number():
    """Of log 0.25 and log 0.75, the second is asked for."""
    loss = ops.nll_loss(np.log([[0.25, 0.75]]), np.array([1]))
    assert_close(loss, -np.log(0.75))


@law
@given(scores_of, classes_of)
def test_cross_entropy_is_never_negative(scores, classes):
    """No probability is above one, so no surprise is below zero."""
    losses = ops.cross_entropy(scores, classes, reduction="none")
    assert (losses >= -1e-12).all(), f"a loss of {losses.min():.3g}"


@law
@given(scores_of, classes_of, st.floats(-1e4, 1e4))
def test_cross_entropy_ignores_a_common_shift(scores, classes, shift):
    """The same number added to every score of a row cancels, however large."""
    with np.errstate(all="ignore"):
        moved = ops.cross_entropy(scores + shift, classes)
    assert abs(moved - ops.cross_entropy(scores, classes)) < 1e-9, (
        "subtract the largest score of each row before the exponential"
    )


@law
def test_cross_entropy_of_a_sure_mistake_is_finite():
    """A score 1000 behind costs 1000. The logarithm of softmax would be -inf."""
    scores = np.array([[1000.0, 0.0]])
    assert_close(ops.cross_entropy(scores, np.array([1])), np.float64(1000.0))


@law
@given(scores_of, classes_of)
def test_cross_entropy_is_nll_loss_of_log_softmax(scores, classes):
    """The two halves of it are operators of their own."""
    halves = ops.nll_loss(ops.log_softmax(scores, dim=1), classes)
    assert abs(ops.cross_entropy(scores, classes) - halves) < 1e-12


@law
@given(scores_of, classes_of, st.floats(0, 1))
def test_cross_entropy_of_a_class_is_that_of_its_one_hot_row(scores, classes, smooth):
    """A class is short for a distribution that is sure; smoothing treats both alike."""
    one_hot = np.eye(5)[classes]
    short = ops.cross_entropy(scores, classes, label_smoothing=smooth)
    full = ops.cross_entropy(scores, one_hot, label_smoothing=smooth)
    assert abs(short - full) < 1e-11


@law
@given(scores_of, classes_of, st.floats(0, 1))
def test_cross_entropy_smoothing_is_a_mixed_target(scores, classes, smooth):
    """Smoothing by e is the target (1 - e) y + e/c, by definition."""
    mixed = (1 - smooth) * np.eye(5)[classes] + smooth / 5
    smoothed = ops.cross_entropy(scores, classes, label_smoothing=smooth)
    assert abs(smoothed - ops.cross_entropy(scores, mixed)) < 1e-11


@law
def test_cross_entropy_is_least_at_the_target():
    """Gibbs: the best answer to a distribution is the distribution itself."""
    target = distributions(1, 4, 5)
    best = ops.cross_entropy(np.log(target), target)
    for seed in range(2, 12):
        other = ops.cross_entropy(np.log(distributions(seed, 4, 5)), target)
        assert other > best


@law
@given(scores_of, st.sampled_from([np.nan, np.inf, 3.0]))
def test_cross_entropy_never_reads_an_ignored_row(scores, anything):
    """Whatever the scores of an ignored row, even nan, the loss does not change."""
    changed = scores.copy()
    changed[CLASSES == -100] = anything
    for smooth in (0.0, 0.1):
        loss = functools.partial(ops.cross_entropy, label_smoothing=smooth)
        with np.errstate(invalid="ignore"):  # inf - inf, in a row that is not read
            assert loss(changed, CLASSES) == loss(scores, CLASSES)


@law
@given(scores_of)
def test_cross_entropy_mean_is_over_the_rows_that_count(scores):
    """To ignore two rows of six is to leave them out: the mean is of four."""
    kept = CLASSES != -100
    alone = ops.cross_entropy(scores[kept], CLASSES[kept])
    assert abs(ops.cross_entropy(scores, CLASSES) - alone) < 1e-12


@law
@given(scores_of, st.integers(1, 5))
def test_cross_entropy_sums_add_up_where_means_do_not(scores, cut):
    """The sum over a batch is the sum over its pieces, whichever labels count."""
    pieces = [
        ops.cross_entropy(scores[part], CLASSES[part], reduction="sum")
        for part in (slice(cut), slice(cut, None))
    ]
    whole = ops.cross_entropy(scores, CLASSES, reduction="sum")
    assert abs(whole - sum(pieces)) < 1e-10


@law
def test_cross_entropy_weights_divide_the_mean():
    """The mean is over weights: a weight of 2 is the same as the row twice."""
    draw = random_arrays(3)
    scores, classes = draw(3, 4), np.array([1, 2, 3])
    weight = np.array([1.0, 1.0, 2.0, 1.0])
    twice = ops.cross_entropy(scores[[0, 1, 1, 2]], classes[[0, 1, 1, 2]])
    assert_close(ops.cross_entropy(scores, classes, weight), twice)


@law
def test_cross_entropy_of_pixels_is_that_of_rows():
    """(n, c, h, w): each pixel is a row, with the classes along the second axis."""
    scores = random_arrays(4)(2, 5, 3, 4)
    classes = np.random.RandomState(4).randint(5, size=(2, 3, 4))
    rows = scores.transpose(0, 2, 3, 1).reshape(-1, 5)
    assert_close(
        ops.cross_entropy(scores, classes), ops.cross_entropy(rows, classes.ravel())
    )


@law
def test_cross_entropy_of_many_classes_in_half_precision():
    """100,000 exponentials sum to more than float16 holds; the sum is made wider."""
    loss = ops.cross_entropy(np.zeros((1, 100_000), np.float16), np.array([7]))
    assert_close(loss, np.float16(np.log(100_000)))


@law
def test_cross_entropy_of_no_rows_sums_to_zero():
    """A sum of nothing is 0; only the mean of nothing is not a number."""
    nothing = ops.cross_entropy(np.zeros((0, 3)), np.zeros(0, int), reduction="sum")
    ignored = ops.cross_entropy(np.ones((2, 3)), np.full(2, -100), reduction="sum")
    assert nothing == ignored == 0


@law
def test_cross_entropy_of_what_is_impossible():
    """0 log 0 = 0: a score of -inf costs nothing where its class is not asked for, in
    a class or in a distribution, and everything where it is."""
    scores = np.array([[-np.inf, 0.0, 1.0]])
    rest = ops.cross_entropy(scores[:, 1:], np.array([0]))
    assert_close(ops.cross_entropy(scores, np.array([1])), rest)
    assert_close(ops.cross_entropy(scores, np.array([[0.0, 1.0, 0.0]])), rest)
    assert ops.cross_entropy(scores, np.array([0])) == np.inf
    assert ops.cross_entropy(scores, np.array([1]), label_smoothing=0.1) == np.inf


@law
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_cross_entropy_weight_of_zero_takes_a_class_out(name):
    """Weight 0 times a surprise without limit is 0: the class is not learnt."""
    scores = ops.log_softmax(np.array([[-np.inf, 0.0], [1.0, 0.0]]))
    weight, classes = np.array([0.0, 2.0]), np.array([0, 1])
    losses = getattr(ops, name)(scores, classes, weight, reduction="none")
    assert_close(losses, np.array([0.0, -2 * scores[1, 1]]))


@oracle
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_entropy_of_classes_equals_torch(compare, reduction, smoothing, weighted):
    """PyTorch's, with ignored rows, and its gradient."""
    draw = random_arrays(5)
    scores = draw(6, 5, scale=3)
    compare(
        lambda x, weight=None, **options: ops.cross_entropy(
            x, CLASSES, weight, **options
        ),
        lambda torch: (
            lambda x, weight=None, **options: torch.nn.functional.cross_entropy(
                x,
                torch.from_numpy(CLASSES),
                weight if weight is None else weight.detach(),
                **options,
            )
        ),
        scores,
        **({"weight": np.abs(draw(5))} if weighted else {}),
        reduction=reduction,
        label_smoothing=smoothing,
    )


@oracle
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_of_distributions_equals_torch(compare, reduction, smoothing):
    """PyTorch's, and its gradients: of the scores, and of the target too."""
    compare(
        ops.cross_entropy,
        lambda torch: torch.nn.functional.cross_entropy,
        random_arrays(6)(6, 5, scale=3),
        np.abs(random_arrays(7)(6, 5)),
        reduction=reduction,
        label_smoothing=smoothing,
    )


@oracle
@pytest.mark.parametrize("shape", [(5,), (2, 5, 3), (2, 5, 3, 2)])
def test_cross_entropy_of_any_shape_equals_torch(compare, shape):
    """One row, a line of rows, a picture of rows: the classes come second."""
    classes = np.random.RandomState(8).randint(
        5, size=() if len(shape) == 1 else (2, *shape[2:])
    )
    for reduction in ("mean", "none"):
        compare(
            ops.cross_entropy,
            lambda torch: torch.nn.functional.cross_entropy,
            random_arrays(8)(*shape),
            np.asarray(classes, np.int64),
            reduction=reduction,
        )


@oracle
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nll_loss_equals_torch(compare, reduction):
    """PyTorch's, with ignored rows and pixels, and its gradient."""
    scores = random_arrays(9)(3, 5, 2)
    classes = np.array([[0, 4], [-1, 2], [3, -1]])
    compare(
        ops.nll_loss,
        lambda torch: torch.nn.functional.nll_loss,
        scores,
        classes,
        ignore_index=-1,
        reduction=reduction,
    )


@derivative
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_cross_entropy_derivative_for_classes(reduction, smoothing):
    """Probability minus target, for the rows that count."""
    weight = np.array([1.0, 2.0, 0.5, 3.0, 1.5])
    for one in (None, weight):
        check_vjp(
            lambda x, one=one: ops.cross_entropy(
                x, CLASSES, one, reduction=reduction, label_smoothing=smoothing
            ),
            random_arrays(10)(6, 5),
        )


@derivative
@pytest.mark.parametrize("reduction", ["mean", "none"])
def test_cross_entropy_derivative_for_distributions(reduction):
    """In the scores and in the target, which may be another model's answer."""
    weight = np.array([1.0, 2.0, 0.5, 3.0, 1.5])
    for one in (None, weight):
        check_vjp(
            lambda x, y, one=one: ops.cross_entropy(
                x, y, one, reduction=reduction, label_smoothing=0.2
            ),
            random_arrays(11)(3, 5, 2),
            distributions(12, 3, 5, 2),
        )


@derivative
@pytest.mark.parametrize("smooth", [0.0, 0.1])
@pytest.mark.parametrize("anything", [np.nan, np.inf, 3.0])
def test_cross_entropy_derivative_of_an_ignored_row_is_zero(smooth, anything):
    """Whatever its scores, even nan: nobody asked it anything."""
    scores = random_arrays(8)(6, 5, scale=3)
    scores[CLASSES == -100] = anything
    loss = functools.partial(ops.cross_entropy, label_smoothing=smooth)
    with np.errstate(invalid="ignore"):
        gradient = grad(loss)(scores, CLASSES)
    assert not gradient[CLASSES == -100].any()
    assert gradient[CLASSES != -100].all()


@derivative
def test_cross_entropy_derivative_is_probability_minus_one_hot():
    """p - y over the number of rows: the whole gradient in one line."""
    scores, classes = random_arrays(13)(4, 5), np.array([0, 3, 3, 1])
    expected = (ops.softmax(scores) - np.eye(5)[classes]) / 4
    assert_close(grad(ops.cross_entropy)(scores, classes), expected)


@derivative
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_nll_loss_derivative(reduction):
    """Minus the weight at the right class, nothing elsewhere."""
    for weight in (None, np.array([1.0, 2.0, 0.5, 3.0, 1.5])):
        check_vjp(
            lambda x, weight=weight: ops.nll_loss(
                x, CLASSES, weight, reduction=reduction
            ),
            random_arrays(15)(6, 5),
        )


@contract
@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_cross_entropy_refuses_a_class_that_is_not_there(name):
    """A token id beyond the vocabulary: the message shows it and the range."""
    loss = getattr(ops, name)
    for wrong in (5, -1):
        with pytest.raises(ValueError, match=f"the class {wrong}, .* 0 to 4"):
            loss(np.zeros((2, 5)), np.array([1, wrong]))


@contract
def test_cross_entropy_refuses_a_mean_of_nothing():
    """A batch whose labels are all ignored teaches nothing; nan would spread."""
    for rows in (2, 0):
        with pytest.raises(ValueError, match="no row counts"):
            ops.cross_entropy(np.zeros((rows, 5)), np.full(rows, -100))
    weight = np.array([0.0, 1.0])
    with pytest.raises(ValueError, match="has weight 0"):
        ops.cross_entropy(np.zeros((1, 2)), np.array([0]), weight)


@contract
def test_cross_entropy_refuses_targets_of_another_shape():
    """The message says what shape the classes need, or that they are integers."""
    with pytest.raises(ShapeError, match=r"target is \(3,\).* of shape \(2,\)"):
        ops.cross_entropy(np.zeros((2, 5)), np.array([0, 1, 2]))
    with pytest.raises(ShapeError, match="classes are integers"):
        ops.cross_entropy(np.zeros((2, 5)), np.array([0.0, 1.0]))
    with pytest.raises(ShapeError, match="weight is"):
        ops.cross_entropy(np.zeros((2, 5)), np.array([0, 1]), np.ones(4))
    with pytest.raises(ShapeError, match="has no classes"):
        ops.cross_entropy(np.zeros((2, 0)), np.array([0, 1]))


@contract
def test_cross_entropy_refuses_options_it_does_not_know():
    """A misspelt reduction must not pass for another."""
    scores, classes = np.zeros((2, 5)), np.array([0, 1])
    with pytest.raises(ValueError, match="none, mean, sum, not 'avg'"):
        ops.cross_entropy(scores, classes, reduction="avg")
    with pytest.raises(ValueError, match="label_smoothing is from 0 to 1"):
        ops.cross_entropy(scores, classes, label_smoothing=1.1)
    with pytest.raises(ValueError, match="ignore_index is for classes"):
        ops.cross_entropy(scores, np.ones((2, 5)) / 5, ignore_index=0)
    with pytest.raises(ValueError, match="not finite"):
        ops.cross_entropy(scores, np.full((2, 5), np.nan))
