"""The spec of refvlm/objectives/language.py."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from refvlm import ops
from refvlm.autodiff import grad
from refvlm.objectives import language
from refvlm.shapes import ShapeError

from ..oracles import import_torchvision
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

loss_of = language.language_modeling_loss
logits_of = tensors((2, 6, 5))
labels_of = hnp.arrays(np.int64, (2, 6), elements=st.sampled_from([-100, 0, 1, 4]))
LABELS = np.array([[3, -100, 2, 0, 4, -100], [1, 1, -100, -100, 4, 2]])


@example
def test_language_modeling_loss_asks_each_position_for_the_next_token():
    """A model that is sure of the right next token everywhere pays nothing."""
    ids = np.array([[1, 3, 0, 2]])
    sure = 1000.0 * np.eye(4)[[[3, 0, 2, 0]]]  # what the last one says is not asked
    assert loss_of(sure, ids) == 0
    echo = 1000.0 * np.eye(4)[ids]
    assert loss_of(echo, ids) == 1000, (
        "to repeat the token that stands there is no prediction: shift the labels"
    )


@example
def test_perplexity_of_a_fair_die():
    """Six equal scores: as good as guessing among six."""
    value = language.perplexity(np.zeros((1, 3, 6)), np.array([[1, 2, 3]]))
    assert abs(value - 6) < 1e-12


@example
def test_shift_labels_by_one():
    """5 6 7: after 5 comes 6, after 6 comes 7, and after 7 nothing is known."""
    wanted = language.shift_labels(np.array([5, 6, 7]))
    np.testing.assert_array_equal(wanted, [6, 7, -100])


@example
def test_pad_labels_puts_a_picture_in_front():
    """Three positions of a picture, then the text."""
    labels = language.pad_labels(np.array([[5, 6]]), 3)
    np.testing.assert_array_equal(labels, [[-100, -100, -100, 5, 6]])


@example
def test_mask_prompt_of_two_turns():
    """Two answers in one conversation: both are learnt, the questions are not."""
    ids = np.array([[9, 1, 2, 3, 9, 4, 5]])
    labels = language.mask_prompt(ids, [[(2, 4), (6, 7)]])
    np.testing.assert_array_equal(labels, [[-100, -100, 2, 3, -100, -100, 5]])


@law
@given(logits_of, labels_of)
def test_language_modeling_loss_is_that_of_cut_logits_and_cut_labels(logits, labels):
    """The source's form: all logits but the last, all labels but the first."""
    rows, wanted = logits[:, :-1].reshape(-1, 5), labels[:, 1:].reshape(-1)
    expected = ops.cross_entropy(rows, wanted, reduction="sum")
    assert abs(loss_of(logits, labels, reduction="sum") - expected) < 1e-10


@law
@given(logits_of, st.integers(0, 5))
def test_language_modeling_loss_of_padding_is_nothing(logits, length):
    """Behind the last label, any logits will do: padding changes no loss."""
    labels = np.where(np.arange(6) <= length, LABELS % 5, -100)
    changed = logits.copy()
    changed[:, max(length, 0) :] = 7.0
    before = loss_of(logits, labels, reduction="sum")
    assert loss_of(changed, labels, reduction="sum") == before


@law
@given(logits_of)
def test_language_modeling_loss_never_asks_for_the_first_token(logits):
    """Nothing stands before it, so its label is not read."""
    other = LABELS.copy()
    other[:, 0] = 2
    assert loss_of(logits, other) == loss_of(logits, LABELS)


@law
@given(logits_of)
def test_language_modeling_loss_sum_over_pieces(logits):
    """One row has one label to predict and the other five: the sums of both, over
    six, are the mean of the whole. The mean of their means is another number."""
    labels = np.array([[0, 1, -100, -100, -100, -100], [0, 1, 2, 3, 4, 0]])
    halves = [
        loss_of(logits[i : i + 1], labels[i : i + 1], reduction="sum") for i in (0, 1)
    ]
    assert abs(sum(halves) / 6 - loss_of(logits, labels)) < 1e-11


@law
@given(tensors((1, 4, 5)), tensors((1, 3, 5)))
def test_language_modeling_loss_behind_a_picture(text, picture):
    """A prefix adds one question, the first token of the text, and no other."""
    labels = np.array([[2, 0, 4, 1]])
    logits = np.concatenate([picture, text], axis=1)
    whole = loss_of(logits, language.pad_labels(labels, 3), reduction="sum")
    first = ops.cross_entropy(picture[:, -1], labels[:, 0])
    assert abs(whole - first - loss_of(text, labels, reduction="sum")) < 1e-10


@law
@given(logits_of)
def test_language_modeling_loss_keeps_the_dtype(logits):
    """float16 in, float16 out; and nothing that came in was written to."""
    check_dtype(loss_of, logits, LABELS)


@law
@given(logits_of)
def test_perplexity_is_never_below_one(logits):
    """Even a perfect model has one token to choose from; and e^loss is what it is."""
    value = language.perplexity(logits, LABELS)
    assert value >= 1
    assert math.isclose(math.log(value), loss_of(logits, LABELS), abs_tol=1e-12)


@law
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_perplexity_of_a_sure_mistake(dtype):
    """e^100 is more than float32 holds, and still a number; e^1000 is none: inf."""
    logits, labels = np.zeros((1, 2, 2), dtype), np.array([[0, 1]])
    for lead, expected in ((100, math.exp(100)), (1000, math.inf)):
        logits[0, 0, 0] = lead
        assert language.perplexity(logits, labels) == expected


@law
@given(hnp.arrays(np.int32, (2, 7), elements=st.integers(0, 9)), st.integers(0, 4))
def test_shift_labels_after_pad_labels(labels, n):
    """Every label is asked for once, one place before its own, in its own dtype."""
    wanted = language.shift_labels(language.pad_labels(labels, n))
    assert wanted.dtype == labels.dtype
    padded = np.concatenate([np.full((2, n), -100), labels, [[-100]] * 2], axis=1)
    np.testing.assert_array_equal(wanted, padded[:, 1:])


@law
@given(hnp.arrays(np.int64, (2, 7), elements=st.integers(0, 9)))
def test_mask_prompt_of_everything_and_of_nothing(ids):
    """One span over the row asks for all of it, no span for nothing."""
    labels = language.mask_prompt(ids, [[(0, 7)], []])
    np.testing.assert_array_equal(labels[0], ids[0])
    assert (labels[1] == -100).all()


@oracle
@pytest.mark.parametrize("total", [None, 11])
def test_language_modeling_loss_equals_transformers(compare, total):
    """ForCausalLMLoss and its gradient; with a count, the sum over that count.

    It computes in float32 whatever it is given.
    """

    def theirs(torch):
        import_torchvision()
        from transformers.loss.loss_utils import ForCausalLMLoss

        return lambda logits: ForCausalLMLoss(
            logits, torch.from_numpy(LABELS), 5, num_items_in_batch=total
        ).to(logits.dtype)

    def ours(logits):
        if total is None:
            return loss_of(logits, LABELS)
        return loss_of(logits, LABELS, reduction="sum") / total

    compare(ours, theirs, random_arrays(1)(2, 6, 5, scale=3), tolerance=1e-6)


@oracle
def test_perplexity_equals_torch(compare):
    """The exponential of PyTorch's cross-entropy."""
    logits = random_arrays(2)(2, 6, 5)
    answers = compare.answers(
        lambda torch: {
            "perplexity": torch.nn.functional.cross_entropy(
                torch.from_numpy(logits[:, :-1].reshape(-1, 5)),
                torch.from_numpy(LABELS[:, 1:].reshape(-1)),
            )
            .exp()
            .numpy()
        },
        logits,
    )
    assert_close(np.float64(language.perplexity(logits, LABELS)), answers["perplexity"])


@derivative
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_language_modeling_loss_derivative(reduction):
    """Through the reshape and the shift, in every logit."""
    check_vjp(
        lambda logits: loss_of(logits, LABELS, reduction=reduction),
        random_arrays(3)(2, 6, 5),
    )


@derivative
def test_language_modeling_loss_derivative_is_zero_where_nothing_is_asked():
    """The gradient stands one place before each label, and nowhere else."""
    gradient = grad(lambda logits: loss_of(logits, LABELS))(random_arrays(4)(2, 6, 5))
    asked = np.zeros((2, 6), bool)
    asked[:, :-1] = LABELS[:, 1:] != -100
    np.testing.assert_array_equal(gradient.any(axis=-1), asked)


@contract
def test_language_modeling_loss_refuses_labels_without_the_picture():
    """Logits of 25 + 4 positions, labels of 4: the message says how to pad."""
    with pytest.raises(ShapeError, match=r"\(1, 29, 5\) and labels \(1, 4\).*pad_lab"):
        loss_of(np.zeros((1, 29, 5)), np.zeros((1, 4), int))


@contract
def test_language_modeling_loss_refuses_a_batch_that_asks_nothing():
    """All prompts, no answers: there is nothing to learn, and no nan to spread."""
    with pytest.raises(ValueError, match="no row counts"):
        loss_of(np.zeros((1, 3, 5)), np.array([[2, -100, -100]]))


@contract
def test_pad_labels_refuses_a_length_that_is_none():
    """A prefix has a whole number of positions."""
    with pytest.raises(ValueError, match="n_prefix must be a whole number"):
        language.pad_labels(np.array([[1]]), -1)


@contract
def test_mask_prompt_refuses_spans_beyond_the_row():
    """A span that NumPy would cut off in silence, or read backwards."""
    ids = np.zeros((1, 4), int)
    for span in ((2, 5), (-2, 3), (3, 2)):
        with pytest.raises(ValueError, match="of row 0 is not within its 4 tokens"):
            language.mask_prompt(ids, [[span]])
    with pytest.raises(ValueError, match="1 rows of ids, but spans for 2"):
        language.mask_prompt(ids, [[], []])
