"""The spec of refvlm/blocks/episodic_memory/gates.py."""

import numpy as np
import pytest
from hypothesis import given

from refvlm import ops
from refvlm.autodiff import Variable, backward
from refvlm.blocks.episodic_memory import gates
from refvlm.shapes import ShapeError

from ...spec import (
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


@example
def test_gate_bias_of_a_coin():
    """A gate half open halves what the softmax gives the slot beside equals."""
    bias = gates.gate_bias(np.array([[0.0]]))
    scores = np.array([[bias[0, 0], 0.0]])
    assert_close(ops.softmax(scores), np.array([[1 / 3, 2 / 3]]))


@law
@given(tensors((2, 3), -800, 800))
def test_gate_bias_is_the_logarithm_of_the_gate(logits):
    """Finite where the sigmoid itself has become 0, so that it keeps its gradient."""
    bias = gates.gate_bias(logits)
    assert np.isfinite(bias).all()
    np.testing.assert_allclose(np.exp(bias), ops.sigmoid(logits), rtol=1e-10)
    shares = gates.log_shares(logits)
    np.testing.assert_allclose(np.exp(shares).sum(-1), 1, rtol=1e-12)


@example
def test_is_open_of_gates_from_seldom_to_often():
    """Open is more likely than not: at 0.4 and at a half closed, at 0.6 and 0.95 open.
    Who wants to be surer says how sure."""
    likely = np.array([[0.4], [0.5], [0.6], [0.95]])
    logits = np.log(likely) - np.log1p(-likely)
    np.testing.assert_array_equal(gates.is_open(logits).ravel(), [0, 0, 1, 1])
    np.testing.assert_array_equal(gates.is_open(logits, 0.9).ravel(), [0, 0, 0, 1])


@law
def test_gate_bias_with_a_threshold_is_open_or_closed():
    """Above it 0, at it and below -inf: no third thing, and dtype kept."""
    logits = np.array([[-3.0, 0.0, 0.1]], np.float32)
    hard = gates.gate_bias(logits, threshold=0.5)
    np.testing.assert_array_equal(
        hard,
        [[-np.inf, -np.inf, 0]],
        "a gate that is not above its threshold closes its slot, by minus infinity; "
        "one above it adds 0: np.where, or ops.additive_mask",
    )
    assert hard.dtype == np.float32
    np.testing.assert_array_equal(gates.gate_bias(logits, threshold=0.0), [[0, 0, 0]])


@law
def test_gated_mixture_of_an_open_gate_is_the_memory():
    """An open gate is the memory's answer and a closed one the answer without it, to
    the bit: log 1 is 0, and nothing is added to it."""
    draw = random_arrays(3)
    with_memory, without = draw(2, 4, 7), draw(2, 4, 7)
    logits = np.array([[2000.0], [-2000.0]])
    mixed = gates.gated_mixture(with_memory, without, logits)
    np.testing.assert_array_equal(mixed[0], ops.log_softmax(with_memory[0]))
    np.testing.assert_array_equal(mixed[1], ops.log_softmax(without[1]))


@law
def test_gated_mixture_lies_between():
    """Its probabilities are the two passes', weighted: they sum to one."""
    draw = random_arrays(4)
    with_memory, without, logits = draw(3, 7), draw(3, 7), draw(3, 1)
    mixed = np.exp(gates.gated_mixture(with_memory, without, logits))
    g = ops.sigmoid(logits)
    expected = g * ops.softmax(with_memory) + (1 - g) * ops.softmax(without)
    assert_close(mixed, expected)


@oracle
def test_gate_bias_equals_torch(compare):
    """logsigmoid."""
    logits = random_arrays(5)(4, 3, scale=8.0)
    compare(gates.gate_bias, lambda torch: torch.nn.functional.logsigmoid, logits)


@oracle
def test_gated_mixture_equals_torch(compare):
    """The logarithm of the weighted sum of two softmaxes."""
    draw = random_arrays(6)

    def reference(torch):
        def mixture(with_memory, without, logits):
            g = torch.sigmoid(logits)[:, :, None]
            said, silent = with_memory.softmax(-1), without.softmax(-1)
            return torch.log(g * said + (1 - g) * silent)

        return mixture

    compare(gates.gated_mixture, reference, draw(2, 3, 5), draw(2, 3, 5), draw(2, 1))


@derivative
def test_gate_bias_with_a_threshold_passes_no_gradient():
    """A step is flat: who trains through a threshold trains nothing. The soft gate
    passes 1 - g, most where it is closed."""
    logits = Variable(np.array([[-2.0], [2.0]]))
    hard = gates.gate_bias(logits, threshold=0.5)
    assert not isinstance(hard, Variable)
    soft = gates.gate_bias(logits)
    passed = backward(soft, np.ones((2, 1)))[logits]
    assert_close(passed, 1 - ops.sigmoid(logits.value))


@derivative
def test_gated_mixture_opens_where_the_memory_helps():
    """The gradient of the loss pulls the gate towards whoever knew the word: no label
    says which questions are the memory's."""
    knows, guesses = np.array([[5.0, 0.0]]), np.array([[0.0, 0.0]])
    for pair, sign in [((knows, guesses), -1), ((guesses, knows), 1)]:
        logits = Variable(np.zeros((1, 1)))
        mixed = gates.gated_mixture(*pair, logits)
        loss = -mixed[:, 0].sum()
        assert np.sign(backward(loss, np.ones(()))[logits]) == sign


@derivative
def test_gated_mixture_derivative():
    """To both passes and to the gate."""
    draw = random_arrays(7)
    check_vjp(gates.gated_mixture, draw(2, 5), draw(2, 5), draw(2, 1))


@contract
def test_gate_bias_and_gated_mixture_refuse_what_is_no_gate():
    """A threshold is a probability; two passes say the same words; a row has one
    gate."""
    for wrong in (2, "half", np.nan):
        with pytest.raises(ValueError, match="threshold must be a number from 0 to 1"):
            gates.gate_bias(np.zeros((1, 1)), threshold=wrong)
    with pytest.raises(ShapeError, match="with_memory is .1, 3. and without is .1, 2."):
        gates.gated_mixture(np.zeros((1, 3)), np.zeros((1, 2)), np.zeros((1, 1)))
    with pytest.raises(ShapeError, match="a gate for each row makes .1, 1."):
        gates.gated_mixture(np.zeros((1, 3)), np.zeros((1, 3)), np.zeros((2, 1)))
