"""The spec of refvlm/blocks/episodic_memory/scope.py."""

import numpy as np
import pytest
from hypothesis import given

from refvlm import ops
from refvlm.autodiff import Variable, backward
from refvlm.blocks.episodic_memory.scope import (
    gate_bias,
    gated_mixture,
    log_shares,
    scope,
    scope_logits,
    scope_shapes,
)
from refvlm.blocks.training_mode import Training
from refvlm.checkpoint import Weights
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
from ...weights import random_weights

TENSORS = random_weights(scope_shapes(6, 9), seed=1)
CONTEXT = random_arrays(2)(5, 6, scale=2.0)


@example
def test_scope_of_full_size_counts_its_parameters():
    """896 to 256 to 256 to one."""
    sizes = [int(np.prod(shape)) for shape in scope_shapes(896, 256).values()]
    assert sum(sizes) == 295_681


@example
def test_gate_bias_of_a_coin():
    """A gate half open halves what the softmax gives the slot beside equals."""
    bias = gate_bias(np.array([[0.0]]))
    scores = np.array([[bias[0, 0], 0.0]])
    assert_close(ops.softmax(scores), np.array([[1 / 3, 2 / 3]]))


@law
@given(tensors((3, 6)))
def test_scope_is_a_probability(context):
    """Between 0 and 1, one for each row."""
    likely = scope(context, Weights(TENSORS))
    assert likely.shape == (3, 1)
    assert ((likely >= 0) & (likely <= 1)).all()


@law
@given(tensors((2, 3), -800, 800))
def test_gate_bias_is_the_logarithm_of_the_gate(logits):
    """Finite where the sigmoid itself has become 0, so that it keeps its gradient."""
    bias = gate_bias(logits)
    assert np.isfinite(bias).all()
    np.testing.assert_allclose(np.exp(bias), ops.sigmoid(logits), rtol=1e-10)
    shares = log_shares(logits)
    np.testing.assert_allclose(np.exp(shares).sum(-1), 1, rtol=1e-12)


@law
def test_gate_bias_with_a_threshold_is_open_or_closed():
    """Above it 0, at it and below -inf: no third thing, and dtype kept."""
    logits = np.array([[-3.0, 0.0, 0.1]], np.float32)
    hard = gate_bias(logits, threshold=0.5)
    np.testing.assert_array_equal(hard, [[-np.inf, -np.inf, 0]])
    assert hard.dtype == np.float32
    np.testing.assert_array_equal(gate_bias(logits, threshold=0.0), [[0, 0, 0]])


@law
def test_gate_bias_with_a_threshold_passes_no_gradient():
    """A step is flat: who trains through a threshold trains nothing. The soft gate
    passes 1 - g, most where it is closed."""
    logits = Variable(np.array([[-2.0], [2.0]]))
    hard = gate_bias(logits, threshold=0.5)
    assert not isinstance(hard, Variable)
    soft = gate_bias(logits)
    passed = backward(soft, np.ones((2, 1)))[logits]
    assert_close(passed, 1 - ops.sigmoid(logits.value))


@law
def test_gated_mixture_of_an_open_gate_is_the_memory():
    """And of a closed one the answer without, to the bit: log 1 is 0 and nothing is
    added to it."""
    draw = random_arrays(3)
    with_memory, without = draw(2, 4, 7), draw(2, 4, 7)
    logits = np.array([[2000.0], [-2000.0]])
    mixed = gated_mixture(with_memory, without, logits)
    np.testing.assert_array_equal(mixed[0], ops.log_softmax(with_memory[0]))
    np.testing.assert_array_equal(mixed[1], ops.log_softmax(without[1]))


@law
def test_gated_mixture_lies_between():
    """Its probabilities are the two passes', weighted: they sum to one."""
    draw = random_arrays(4)
    with_memory, without, logits = draw(3, 7), draw(3, 7), draw(3, 1)
    mixed = np.exp(gated_mixture(with_memory, without, logits))
    g = ops.sigmoid(logits)
    expected = g * ops.softmax(with_memory) + (1 - g) * ops.softmax(without)
    assert_close(mixed, expected)


@law
def test_gated_mixture_opens_where_the_memory_helps():
    """The gradient of the loss pulls the gate towards whoever knew the word: no label
    says which questions are the memory's."""
    knows, guesses = np.array([[5.0, 0.0]]), np.array([[0.0, 0.0]])
    for pair, sign in [((knows, guesses), -1), ((guesses, knows), 1)]:
        logits = Variable(np.zeros((1, 1)))
        mixed = gated_mixture(*pair, logits)
        loss = -mixed[:, 0].sum()
        assert np.sign(backward(loss, np.ones(()))[logits]) == sign


@law
def test_scope_drops_only_while_it_learns():
    """With a generator a tenth of the hidden numbers go; without, none ever."""
    weights = Weights(TENSORS)
    first, second = (
        scope_logits(CONTEXT, weights, Training(np.random.default_rng(seed)))
        for seed in (0, 1)
    )
    assert (first != second).any()
    np.testing.assert_array_equal(
        scope_logits(CONTEXT, weights), scope_logits(CONTEXT, weights)
    )
    counting = {  # the logit is the sum of nine ones that pass two layers
        "mlp.0.weight": np.zeros((9, 6)),
        "mlp.0.bias": np.ones(9),
        "mlp.3.weight": np.eye(9),
        "mlp.3.bias": np.zeros(9),
        "mlp.6.weight": np.ones((1, 9)),
        "mlp.6.bias": np.zeros(1),
    }
    learning = Training(np.random.default_rng(2))
    sums = scope_logits(np.zeros((20_000, 6)), Weights(counting), learning)
    assert abs(sums.mean() - 9) < 0.05
    assert abs(sums.var() / 9 - (1 / 0.9**2 - 1)) < 0.02


@law
def test_scope_keeps_float32():
    """float32 in, float32 out."""
    single = {name: a.astype(np.float32) for name, a in TENSORS.items()}
    context = CONTEXT.astype(np.float32)
    likely = scope(context, Weights(single))
    assert_close(likely, scope(CONTEXT, Weights(TENSORS)).astype(np.float32), 1e-5)


@oracle
def test_scope_equals_torch(compare):
    """nn.Sequential as published, in its evaluation mode, and its gradients."""

    def ours(context, *arrays):
        return scope(context, Weights(dict(zip(TENSORS, arrays))))

    def reference(torch):
        def published(context, *arrays):
            nn = torch.nn
            layers = nn.Linear(6, 9), nn.ReLU(), nn.Dropout(0.1)
            layers += nn.Linear(9, 9), nn.ReLU(), nn.Dropout(0.1), nn.Linear(9, 1)
            net = nn.Sequential(*layers, nn.Sigmoid()).to(context.dtype).eval()
            own = {name.removeprefix("mlp."): a for name, a in zip(TENSORS, arrays)}
            return torch.func.functional_call(net, own, (context,))

        return published

    compare(ours, reference, CONTEXT, *TENSORS.values())


@oracle
def test_gate_bias_equals_torch(compare):
    """logsigmoid."""
    logits = random_arrays(5)(4, 3, scale=8.0)
    compare(gate_bias, lambda torch: torch.nn.functional.logsigmoid, logits)


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

    compare(gated_mixture, reference, draw(2, 3, 5), draw(2, 3, 5), draw(2, 1))


@derivative
def test_gated_mixture_derivative():
    """To both passes and to the gate."""
    draw = random_arrays(7)
    check_vjp(gated_mixture, draw(2, 5), draw(2, 5), draw(2, 1))


@contract
def test_scope_refuses_what_is_no_gate():
    """A threshold is a probability; two passes say the same words; a row has one
    gate."""
    with pytest.raises(ValueError, match="threshold must be from 0 to 1, not 2"):
        gate_bias(np.zeros((1, 1)), threshold=2)
    with pytest.raises(ShapeError, match="with_memory is .1, 3. and without is .1, 2."):
        gated_mixture(np.zeros((1, 3)), np.zeros((1, 2)), np.zeros((1, 1)))
    with pytest.raises(ShapeError, match="a gate for each row makes .1, 1."):
        gated_mixture(np.zeros((1, 3)), np.zeros((1, 3)), np.zeros((2, 1)))
    with pytest.raises(ShapeError):
        scope(CONTEXT[:, :4], Weights(TENSORS))
