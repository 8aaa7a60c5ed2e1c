"""The spec of refvlm/blocks/recurrent.py."""

import math

import numpy as np
import pytest

from refvlm import ops
from refvlm.blocks import recurrent
from refvlm.checkpoint import Weights
from refvlm.checkpoint.errors import MissingTensorError
from refvlm.shapes import ShapeError

from ..spec import (
    assert_close,
    check_vjp,
    contract,
    derivative,
    example,
    law,
    oracle,
    random_arrays,
)
from ..weights import random_weights

BOTH = pytest.mark.parametrize("bidirectional", [False, True], ids=["one", "both"])


def a_stack(layers=2, bidirectional=False, width=5, hidden=3, bias=True, seed=1):
    shapes = recurrent.lstm_stack_shapes(width, hidden, layers, bidirectional, bias)
    return Weights(random_weights(shapes, seed))


@example
def test_lstm_stack_of_the_source_has_as_many_numbers_as_it_has():
    """Two layers, 448 units each way, on contexts of 896: 9,648,128."""
    shapes = recurrent.lstm_stack_shapes(896, 448, layers=2, bidirectional=True)
    assert sum(map(math.prod, shapes.values())) == 9_648_128
    assert shapes["weight_hh_l1_reverse"] == (1792, 448)


@example
def test_lstm_stack_of_one_layer_is_a_layer():
    """Nothing is added to it."""
    weights, x = a_stack(layers=1), random_arrays(2)(2, 4, 5)
    four = [weights[f"{part}_l0"] for part in recurrent.PARTS]
    out = recurrent.lstm_stack(x, weights, layers=1)
    np.testing.assert_array_equal(out, ops.lstm(x, *four))


@law
@BOTH
def test_lstm_stack_counts_as_it_is_laid_out(bidirectional):
    """A layer one way has 4 h (n + h + 2) numbers; those above read h, or 2h."""
    shapes = recurrent.lstm_stack_shapes(5, 3, 3, bidirectional)
    ways = 2 if bidirectional else 1
    expected = ways * 12 * (5 + 3 + 2) + 2 * ways * 12 * (ways * 3 + 3 + 2)
    assert sum(map(math.prod, shapes.values())) == expected


@law
def test_lstm_stack_is_its_steps():
    """A stack of one way, fed one token at a time, says what it says of the whole."""
    weights, x = a_stack(layers=3), random_arrays(3)(2, 6, 5)
    whole, state = recurrent.lstm_stack(x, weights, layers=3), None
    for t in range(6):
        state = recurrent.lstm_stack_step(x[:, t], state, weights, layers=3)
        assert state.shape == (3, 2, 2, 3)
        assert_close(state[-1, 0], whole[:, t])


@law
def test_lstm_stack_of_one_way_never_takes_back_what_it_said():
    """What is still to come changes nothing of what was said; with both ways a new
    token changes all of it."""
    x = random_arrays(4)(2, 5, 5)
    one, both = a_stack(), a_stack(bidirectional=True)
    before, after = (recurrent.lstm_stack(e, one, 2) for e in (x[:, :4], x))
    assert_close(after[:, :4], before)
    before, after = (recurrent.lstm_stack(e, both, 2, True) for e in (x[:, :4], x))
    assert (np.abs(after[:, :4] - before).max(axis=-1) > 1e-6).all()


@law
@BOTH
def test_lstm_stack_reads_each_sequence_as_if_it_were_alone(bidirectional):
    """Padding reaches no layer, from neither end."""
    weights, x = a_stack(bidirectional=bidirectional), random_arrays(5)(3, 6, 5)
    lengths = np.array([6, 2, 5])
    x[1, 2:] = np.nan
    together = recurrent.lstm_stack(x, weights, 2, bidirectional, lengths)
    for row, length in enumerate(lengths):
        one = x[row : row + 1, :length]
        alone = recurrent.lstm_stack(one, weights, 2, bidirectional)
        assert_close(together[row : row + 1, :length], alone)
        assert (together[row, length:] == 0).all()


@law
def test_lstm_stack_keeps_single_precision():
    """float32 in, float32 out, and so is the state that is handed on."""
    weights = Weights({n: a.astype(np.float32) for n, a in a_stack().items()})
    x = random_arrays(6)(2, 3, 5).astype(np.float32)
    assert recurrent.lstm_stack(x, weights, 2).dtype == np.float32
    assert recurrent.lstm_stack_step(x[:, 0], None, weights, 2).dtype == np.float32


def in_torch(names, layers, bidirectional, lengths=None, bias=True):
    """nn.LSTM as a function of x and the tensors, padded again where it was packed."""

    def reference(torch):
        rnn = torch.nn.utils.rnn

        def stack(x, *tensors):
            hidden = dict(zip(names, tensors))["weight_hh_l0"].shape[1]
            shape = x.shape[-1], hidden, layers, bias
            module = torch.nn.LSTM(
                *shape, batch_first=True, bidirectional=bidirectional, dtype=x.dtype
            )
            parameters, read = dict(zip(names, tensors)), x
            assert parameters.keys() == dict(module.named_parameters()).keys()
            if lengths is not None:
                read = rnn.pack_padded_sequence(
                    x, torch.tensor(lengths), batch_first=True, enforce_sorted=False
                )
            out = torch.func.functional_call(module, parameters, (read,))[0]
            if lengths is not None:
                out, _ = rnn.pad_packed_sequence(
                    out, batch_first=True, total_length=x.shape[1]
                )
            return out

        return stack

    return reference


@oracle
@pytest.mark.parametrize(
    "layers, bidirectional, lengths, bias",
    [
        (2, True, None, True),
        (2, True, [3, 7, 1], True),
        (3, False, [7, 2, 4], True),
        (2, False, None, False),
    ],
)
def test_lstm_stack_equals_torch(compare, layers, bidirectional, lengths, bias):
    """nn.LSTM under its own names: values, and the gradients of every tensor."""
    weights = a_stack(layers, bidirectional, bias=bias, seed=7)
    names, x = list(weights), random_arrays(8)(3, 7, 5)
    counts = None if lengths is None else np.array(lengths)

    def ours(x, *tensors):
        of = Weights(dict(zip(names, tensors)))
        return recurrent.lstm_stack(x, of, layers, bidirectional, counts)

    theirs = in_torch(names, layers, bidirectional, lengths, bias)
    compare(ours, theirs, x, *weights.values())


@derivative
def test_lstm_stack_step_derivative():
    """A loss on what is said after three tokens reaches the first of them."""
    weights, draw = a_stack(width=2, hidden=2, seed=9), random_arrays(10)
    names, x = list(weights), draw(2, 3, 2)

    def streamed(x, *tensors):
        of, state = Weights(dict(zip(names, tensors))), None
        for t in range(3):
            state = recurrent.lstm_stack_step(x[:, t], state, of, 2)
        return state[-1, 0]

    check_vjp(streamed, x, *weights.values())


@contract
def test_lstm_stack_refuses_a_layer_that_is_not_there():
    """By the name of its tensor."""
    with pytest.raises(MissingTensorError, match="weight_ih_l2"):
        recurrent.lstm_stack(np.zeros((1, 2, 5)), a_stack(layers=2), layers=3)
    with pytest.raises(ValueError, match="layers must be a whole number of at least 1"):
        recurrent.lstm_stack(np.zeros((1, 2, 5)), a_stack(), layers=0)


@contract
def test_lstm_stack_step_refuses_the_state_of_another_stack():
    """One state for each layer."""
    message = r"lstm_stack_step: state is \(1, 2, 1, 3\), but 2 layers"
    with pytest.raises(ShapeError, match=message):
        recurrent.lstm_stack_step(
            np.zeros((1, 5)), np.zeros((1, 2, 1, 3)), a_stack(), layers=2
        )
