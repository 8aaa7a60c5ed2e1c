"""The spec of refvlm/ops/elementwise_losses.py."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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

REDUCTIONS = ["sum", "mean", "none"]
LOSSES = ["binary_cross_entropy_with_logits", "mse_loss", "smooth_l1_loss", "kl_div"]
draw = random_arrays(2026)
PAIR = draw(3, 5), np.abs(draw(3, 5))
CALLS = {
    "binary_cross_entropy_with_logits": [
        call(*PAIR, pos_weight=np.abs(draw(5)), reduction="none"),
        call(*PAIR, weight=np.abs(draw(5)), pos_weight=np.abs(draw(3, 1))),
        call(*PAIR),
    ],
    "mse_loss": [call(*PAIR, reduction=reduction) for reduction in REDUCTIONS],
    "smooth_l1_loss": [
        call(*PAIR, reduction="none", beta=0.5),
        call(*PAIR),
        call(*PAIR, reduction="sum", beta=0),
    ],
    "kl_div": [
        call(*PAIR, reduction="none", log_target=True),
        call(*PAIR, reduction="batchmean"),
        call(*PAIR),
    ],
}


def distributions(seed, *shape):
    return ops.softmax(random_arrays(seed)(*shape))


@example
def test_binary_cross_entropy_with_logits_of_a_coin():
    """A score of 0 is a fair coin: either answer costs log 2."""
    losses = ops.binary_cross_entropy_with_logits(
        np.zeros(2), np.array([0.0, 1.0]), reduction="none"
    )
    assert_close(losses, np.log([2.0, 2.0]))


@example
def test_mse_loss_squares():
    """Errors 0 and 2: squares 0 and 4, mean 2."""
    loss = ops.mse_loss(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    assert_close(loss, np.float64(2))


@example
def test_smooth_l1_loss_near_and_far():
    """An error of 0.5 costs half its square, one of 3 its size less a half."""
    losses = ops.smooth_l1_loss(np.array([0.5, -3.0]), np.zeros(2), reduction="none")
    assert_close(losses, np.array([0.125, 2.5]))


@example
def test_kl_div_of_a_certainty_against_a_coin():
    """The truth is sure, the model tosses a coin: log 2, and 0 log 0 counts nothing."""
    loss = ops.kl_div(np.log([[0.5, 0.5]]), np.array([[1.0, 0.0]]), "batchmean")
    assert_close(loss, np.log(2.0))


@law
@given(tensors((3, 4)), st.booleans())
def test_binary_cross_entropy_with_logits_is_that_of_the_sigmoid(x, yes):
    """By definition: minus the log of the probability of the answer."""
    p = ops.sigmoid(x)
    expected = -np.log(p if yes else 1 - p)
    losses = ops.binary_cross_entropy_with_logits(
        x, np.full(x.shape, float(yes)), reduction="none"
    )
    assert np.abs(losses - expected).max() < 1e-10


@law
@given(tensors((3, 4)))
def test_binary_cross_entropy_with_logits_is_cross_entropy_of_two_classes(x):
    """A score x for yes is the pair of scores (0, x)."""
    pairs = np.stack([np.zeros(12), x.ravel()], axis=1)
    two = ops.cross_entropy(pairs, np.ones(12, int))
    one = ops.binary_cross_entropy_with_logits(x, np.ones_like(x))
    assert abs(one - two) < 1e-12


@law
def test_binary_cross_entropy_with_logits_of_huge_scores_is_finite():
    """A sure mistake costs its score; e^1000 is never computed."""
    losses = ops.binary_cross_entropy_with_logits(
        np.array([1000.0, -1000.0, 1000.0]), np.array([0.0, 1.0, 1.0]), reduction="none"
    )
    np.testing.assert_array_equal(losses, [1000, 1000, 0])


@law
@given(tensors((3, 4)), tensors((3, 4)))
def test_mse_loss_is_symmetric(x, y):
    """An error up and the same error down cost the same."""
    assert ops.mse_loss(x, y) == ops.mse_loss(y, x) >= 0


@law
@given(tensors((3, 4)), tensors((3, 4)), st.floats(0.01, 5))
def test_smooth_l1_loss_lies_below_both_its_pieces(x, y, beta):
    """Never above the absolute error, nor above the parabola."""
    losses = ops.smooth_l1_loss(x, y, reduction="none", beta=beta)
    error = np.abs(x - y)
    assert (losses <= error + 1e-12).all()
    assert (losses <= error**2 / (2 * beta) * (1 + 1e-12)).all()


@law
def test_smooth_l1_loss_pieces_meet():
    """At |e| = beta, the value is the same from both sides."""
    near, far = np.array([2.0 - 1e-9]), np.array([2.0 + 1e-9])
    values = [ops.smooth_l1_loss(x, np.zeros(1), beta=2.0) for x in (near, far)]
    assert abs(values[0] - values[1]) < 1e-8


@law
def test_smooth_l1_loss_without_a_near_side():
    """beta = 0 leaves the absolute error."""
    x, y = random_arrays(1)(3, 4), random_arrays(2)(3, 4)
    assert_close(ops.smooth_l1_loss(x, y, beta=0), np.abs(x - y).mean())


@law
@given(st.integers(0, 50))
def test_kl_div_is_never_negative(seed):
    """Gibbs: no distribution but the truth itself costs nothing."""
    p, q = distributions(seed, 4, 5), distributions(seed + 100, 4, 5)
    assert ops.kl_div(np.log(q), p, "batchmean") > 0
    assert abs(ops.kl_div(np.log(p), p, "batchmean")) < 1e-14


@law
def test_kl_div_order_matters():
    """KL(p || q) is not KL(q || p): the target is the one that is averaged over."""
    p, q = np.array([[0.5, 0.5]]), np.array([[0.9, 0.1]])
    forward = ops.kl_div(np.log(q), p, "batchmean")
    assert_close(forward, 0.5 * np.log(0.5 / 0.9) + 0.5 * np.log(0.5 / 0.1))
    assert abs(forward - ops.kl_div(np.log(p), q, "batchmean")) > 0.1


@law
def test_kl_div_is_cross_entropy_less_entropy():
    """What the model pays beyond what the truth itself costs."""
    scores, p = random_arrays(3)(4, 5), distributions(4, 4, 5)
    entropy = -(p * np.log(p)).sum() / 4
    divergence = ops.kl_div(ops.log_softmax(scores), p, "batchmean")
    assert abs(divergence - (ops.cross_entropy(scores, p) - entropy)) < 1e-12


@law
def test_kl_div_batchmean_is_the_mean_times_the_classes():
    """Only "batchmean" divides by the batch; "mean" divides by the classes too."""
    log_q, p = ops.log_softmax(random_arrays(5)(4, 5)), distributions(6, 4, 5)
    batchmean = ops.kl_div(log_q, p, "batchmean")
    assert_close(ops.kl_div(log_q, p) * 5, batchmean)


@law
def test_kl_div_of_what_neither_thinks_possible():
    """Probability 0 on both sides costs nothing, though its logarithm is -inf."""
    log_q = np.array([[-np.inf, 0.0]])
    for target, in_logs in ((np.array([[0.0, 1.0]]), False), (log_q, True)):
        assert ops.kl_div(log_q, target, "sum", log_target=in_logs) == 0


@oracle
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weighted", [False, True])
def test_binary_cross_entropy_with_logits_equals_torch(compare, reduction, weighted):
    """PyTorch's, with both weights, and its gradients in scores and answers."""
    draw = random_arrays(7)
    x, y = draw(3, 4, scale=5), np.abs(draw(3, 4))
    weights = [np.abs(draw(4)), np.abs(draw(4))] if weighted else [None, None]

    def fixed(function, wrap):
        return lambda x, y, **options: function(x, y, *map(wrap, weights), **options)

    def tensor(torch):
        return lambda w: w if w is None else torch.from_numpy(w).to(torch.float64)

    compare(
        fixed(
            lambda x, y, w, p, **options: ops.binary_cross_entropy_with_logits(
                x,
                y,
                w if w is None else w.astype(x.dtype),
                p if p is None else p.astype(x.dtype),
                **options,
            ),
            lambda w: w,
        ),
        lambda torch: (
            lambda x, y, reduction: (
                torch.nn.functional.binary_cross_entropy_with_logits(
                    x,
                    y,
                    tensor(torch)(weights[0]),
                    reduction=reduction,
                    pos_weight=tensor(torch)(weights[1]),
                )
            )
        ),
        x,
        y,
        reduction=reduction,
    )


@oracle
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_mse_loss_equals_torch(compare, reduction):
    """PyTorch's, and its gradients."""
    draw = random_arrays(9)
    compare(
        ops.mse_loss,
        lambda torch: torch.nn.functional.mse_loss,
        draw(3, 4),
        draw(3, 4),
        reduction=reduction,
    )


@oracle
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_smooth_l1_loss_equals_torch(compare, reduction, beta):
    """PyTorch's, and its gradients, with errors on both sides of beta."""
    draw = random_arrays(10)
    compare(
        ops.smooth_l1_loss,
        lambda torch: torch.nn.functional.smooth_l1_loss,
        draw(3, 4),
        draw(3, 4),
        reduction=reduction,
        beta=beta,
    )


@oracle
@pytest.mark.parametrize("reduction", ["batchmean", *REDUCTIONS])
@pytest.mark.parametrize("log_target", [False, True])
def test_kl_div_equals_torch(compare, reduction, log_target):
    """PyTorch's in its odd order, and its gradients in both."""
    draw = random_arrays(11)
    compare(
        ops.kl_div,
        lambda torch: torch.nn.functional.kl_div,
        draw(3, 4),
        draw(3, 4) if log_target else np.abs(draw(3, 4)),
        reduction=reduction,
        log_target=log_target,
    )


@derivative
def test_smooth_l1_loss_derivative_where_the_pieces_meet():
    """At |e| = beta, the slope is the same from both sides."""
    near, far = np.array([2.0 - 1e-9]), np.array([2.0 + 1e-9])
    slopes = [
        grad(ops.smooth_l1_loss)(x, np.zeros(1), "mean", 2.0) for x in (near, far)
    ]
    assert abs(slopes[0] - slopes[1]).max() < 1e-8


@derivative
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy_with_logits_derivative(reduction):
    """Probability minus answer, and minus the score in the answer."""
    draw = random_arrays(13)
    weight, positive = np.abs(draw(4)), np.abs(draw(3, 1))
    for weights in ((None, None), (weight, None), (weight, positive)):
        check_vjp(
            lambda x, y, weights=weights: ops.binary_cross_entropy_with_logits(
                x, y, *weights, reduction
            ),
            draw(3, 4, scale=3),
            distributions(14, 3, 4),
        )


@derivative
def test_binary_cross_entropy_with_logits_derivative_far_out():
    """At scores of 1000 the slope is still the probability less the answer."""
    slope = grad(
        lambda x, y: ops.binary_cross_entropy_with_logits(x, y, reduction="sum")
    )
    x = np.array([1000.0, -1000.0, 1000.0])
    np.testing.assert_array_equal(slope(x, np.array([0.0, 1.0, 1.0])), [1, -1, 0])


@derivative
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_mse_loss_derivative(reduction):
    """Twice the error, with opposite signs for the two sides."""
    draw = random_arrays(15)
    check_vjp(ops.mse_loss, draw(3, 4), draw(3, 4), reduction=reduction)


@derivative
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("beta", [0, 0.5])
def test_smooth_l1_loss_derivative(reduction, beta):
    """The error over beta, never beyond one."""
    draw = random_arrays(16)
    check_vjp(
        ops.smooth_l1_loss, draw(3, 4), draw(3, 4), reduction=reduction, beta=beta
    )


@derivative
@pytest.mark.parametrize("reduction", ["batchmean", *REDUCTIONS])
@pytest.mark.parametrize("log_target", [False, True])
def test_kl_div_derivative(reduction, log_target):
    """Minus the truth in the model's log; and the truth may be learnt too."""
    target = distributions(17, 3, 4)
    check_vjp(
        ops.kl_div,
        random_arrays(18)(3, 4),
        np.log(target) if log_target else target,
        reduction=reduction,
        log_target=log_target,
    )


@contract
@pytest.mark.parametrize("name", LOSSES)
def test_mse_loss_and_others_refuse_to_broadcast(name):
    """(3, 1) against (3) would be nine errors instead of three; PyTorch only warns."""
    with pytest.raises(ShapeError, match=r"input is \(3, 1\) and target \(3,\)"):
        getattr(ops, name)(np.zeros((3, 1)), np.zeros(3))


@contract
@pytest.mark.parametrize("name", LOSSES)
def test_mse_loss_and_others_refuse_what_has_no_mean(name):
    """No entries have no mean, and a misspelt reduction is no reduction."""
    loss = getattr(ops, name)
    with pytest.raises(ValueError, match="no mean of no losses"):
        loss(np.zeros((0, 3)), np.zeros((0, 3)))
    with pytest.raises(ValueError, match="reduction is one of"):
        loss(np.zeros(3), np.zeros(3), reduction="avg")


@contract
def test_binary_cross_entropy_with_logits_refuses_weights_that_widen():
    """A weight may repeat itself over the scores, not the scores over it."""
    with pytest.raises(ShapeError, match="has to broadcast"):
        ops.binary_cross_entropy_with_logits(np.zeros(3), np.zeros(3), np.ones((2, 3)))


@contract
def test_smooth_l1_loss_refuses_a_negative_border():
    """beta is a size of error."""
    with pytest.raises(ValueError, match="beta is a number from 0"):
        ops.smooth_l1_loss(np.zeros(3), np.zeros(3), beta=-1.0)


@contract
def test_kl_div_refuses_a_batchmean_without_a_batch():
    """A number alone has no first axis to divide by."""
    with pytest.raises(ValueError, match="needs a batch"):
        ops.kl_div(np.array(0.0), np.array(1.0), "batchmean")
