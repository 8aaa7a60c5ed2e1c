"""The spec of refvlm/ops/recurrent.py."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from refvlm import kernels, ops
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
    pulled_back,
    random_arrays,
)
from .counterparts import every_step, one_step

draw = random_arrays(2026)


def weights_of(draw, width=3, hidden=2):
    """weight_ih, weight_hh, bias_ih, bias_hh: none of them small."""
    rows = 4 * hidden
    return draw(rows, width), draw(rows, hidden), draw(rows), draw(rows)


CALLS = {
    "lstm_cell": [
        call(draw(2, 3), draw(2, 2, 2), *weights_of(draw)),
        call(draw(2, 1), draw(2, 2, 3), draw(12, 1), draw(12, 3)),
        call(draw(2, 3), draw(2, 2, 2), draw(8, 3), draw(8, 2), bias_hh=draw(8)),
    ],
    "lstm": [
        call(draw(2, 3, 1), draw(8, 1), draw(8, 2), draw(8), draw(8)),
        call(draw(2, 3, 1), draw(8, 1), draw(8, 2), reverse=True),
        call(draw(2, 4, 3), *weights_of(draw), draw(2, 2, 2)),
        call(draw(3, 5, 3), *weights_of(draw), lengths=np.array([2, 5, 3])),
        call(
            draw(3, 5, 3),
            *weights_of(draw),
            draw(2, 3, 2),
            reverse=True,
            lengths=np.array([4, 0, 5]),
        ),
        call(draw(2, 3, 3), *weights_of(draw)[:3]),
        call(draw(2, 0, 3), *weights_of(draw)),
    ],
}

SHUT, OPEN = -1000.0, 1000.0  # the sum behind a gate that is 0, or 1


def gates(i, f, g, o):
    """The biases of one unit, which alone decide where the weights are zero."""
    return np.array([i, f, g, o])


NONE = np.zeros((4, 1))


@example
def test_lstm_cell_of_half_open_gates():
    """Sums of zero: half of the cell is kept, nothing is added, half of its tanh is
    shown."""
    state = np.array([[[0.3]], [[2.0]]])
    hidden, cell = ops.lstm_cell(np.ones((1, 1)), state, NONE, NONE)
    np.testing.assert_array_equal(cell, [[1.0]])
    np.testing.assert_array_equal(hidden, [[0.5 * np.tanh(1.0)]])


@example
def test_lstm_counts_with_its_gates_open():
    """Nothing is forgotten and tanh(0.5) is added at every step: 1, 2, 3 times it."""
    biases = gates(OPEN, OPEN, 0.5, OPEN)
    hidden = ops.lstm(np.ones((1, 3, 1)), NONE, NONE, biases)
    counted = np.arctanh(hidden).ravel() / np.tanh(0.5)
    np.testing.assert_allclose(counted, [1.0, 2.0, 3.0], rtol=1e-14)


def two_units(i, f, g, o):
    """A step from a state of two units whose gates are set by their biases: the state
    before and the one after."""
    draw = random_arrays(13)
    x, state, biases = draw(3, 4), draw(2, 3, 2), np.repeat([i, f, g, o], 2)
    return state, ops.lstm_cell(x, state, np.zeros((8, 4)), np.zeros((8, 2)), biases)


@law
def test_lstm_cell_with_its_input_gate_shut_adds_nothing():
    """However loud the candidate is: the cell is what it was, to the bit."""
    (_, before), (_, cell) = two_units(i=SHUT, f=OPEN, g=OPEN, o=0.0)
    np.testing.assert_array_equal(cell, before)


@law
def test_lstm_cell_with_its_forget_gate_shut_forgets():
    """An open forget gate keeps, a shut one forgets: of the cell before nothing is
    left, and what was added is all there is."""
    _, (_, cell) = two_units(i=OPEN, f=SHUT, g=0.5, o=0.0)
    np.testing.assert_allclose(cell, np.full((3, 2), np.tanh(0.5)), rtol=1e-14)


@law
def test_lstm_cell_with_its_output_gate_shut_says_nothing_and_keeps_it():
    """What is not shown is not lost: the hidden state is 0, the cell goes on."""
    (_, before), (hidden, cell) = two_units(i=OPEN, f=OPEN, g=0.5, o=SHUT)
    np.testing.assert_array_equal(hidden, np.zeros((3, 2)))
    np.testing.assert_allclose(cell, before + np.tanh(0.5), rtol=1e-14)


@law
@pytest.mark.parametrize("g, added", [(SHUT, -1.0), (-0.5, np.tanh(-0.5)), (OPEN, 1.0)])
def test_lstm_cell_has_a_candidate_with_a_sign(g, added):
    """A gate is a share, from 0 to 1. The candidate may also take away: it lies between
    -1 and 1, by a tanh."""
    (_, before), (_, cell) = two_units(i=OPEN, f=OPEN, g=g, o=0.0)
    np.testing.assert_allclose(cell - before, np.full((3, 2), added), rtol=1e-13)


@law
def test_lstm_cell_shows_the_new_cell_and_not_the_one_before():
    """What was read in this step is in what is said in this step: h = tanh(c') where
    the output gate is open."""
    (_, before), (hidden, cell) = two_units(i=OPEN, f=SHUT, g=0.5, o=OPEN)
    np.testing.assert_allclose(hidden, np.tanh(cell), rtol=1e-14)
    assert (np.abs(hidden - np.tanh(before)) > 0.01).all()


@law
def test_lstm_cell_hears_the_token_and_the_hidden_state_alike():
    """Both are one long input, before one wide matrix: their sums are added."""
    draw = random_arrays(14)
    x, state, weights = draw(3, 4), draw(2, 3, 2), weights_of(draw, 4, 2)
    W, U, first, second = weights
    both, wide = np.concatenate([x, state[0]], 1), np.concatenate([W, U], 1)
    deaf = np.stack([np.zeros((3, 2)), state[1]])
    assert_close(
        ops.lstm_cell(x, state, *weights),
        ops.lstm_cell(both, deaf, wide, 0 * U, first + second),
    )


@law
@given(st.integers(1, 200), st.floats(-3, 3))
def test_lstm_keeps_what_it_does_not_forget(steps, cell):
    """With the forget gate open and the input gate shut, the cell is what it was,
    however long ago: to the bit."""
    state = np.array([[[0.0]], [[cell]]])
    biases = gates(SHUT, OPEN, 1.0, OPEN)
    hidden = ops.lstm(np.ones((1, steps, 1)), NONE, NONE, biases, state=state)
    np.testing.assert_array_equal(hidden, np.full((1, steps, 1), np.tanh(cell)))


@law
def test_lstm_forgets_where_the_gate_is_shut():
    """Then nothing of the state before is left."""
    biases, x = gates(0.0, SHUT, 1.0, 0.0), np.ones((1, 1, 1))
    states = np.array([[[0.5]], [[3.0]]]), np.array([[[-0.5]], [[70.0]]])
    out = [ops.lstm(x, NONE, NONE, biases, state=state) for state in states]
    np.testing.assert_array_equal(*out)


@law
@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_is_its_cell_stepped(reverse):
    """One token after the other, and the state goes along."""
    draw = random_arrays(1)
    x, weights, state = draw(3, 5, 4), weights_of(draw, 4, 3), draw(2, 3, 3)
    hidden = ops.lstm(x, *weights, state, reverse)
    for t in range(5)[::-1] if reverse else range(5):
        state = ops.lstm_cell(x[:, t], state, *weights)
        assert_close(hidden[:, t], state[0])


@law
@given(st.integers(1, 5))
def test_lstm_goes_on_from_a_state(first):
    """A stream may be cut anywhere: the state is all that the past is."""
    draw = random_arrays(2)
    x, weights, state = draw(2, 6, 3), weights_of(draw), np.zeros((2, 2, 2))
    whole = ops.lstm(x, *weights)
    for t in range(first):
        state = ops.lstm_cell(x[:, t], state, *weights)
    rest = ops.lstm(x[:, first:], *weights, state)
    assert_close(rest, whole[:, first:])


@law
def test_lstm_knows_the_past_and_no_future():
    """A token changes what stands behind it, not what stood before; in reverse the
    other way round."""
    draw = random_arrays(3)
    x, weights = draw(1, 6, 3), weights_of(draw)
    other = x.copy()
    other[:, 3] += 1
    for reverse, before in ((False, slice(0, 3)), (True, slice(4, 6))):
        a, b = (ops.lstm(each, *weights, reverse=reverse) for each in (x, other))
        np.testing.assert_array_equal(a[:, before], b[:, before])
        changed = np.abs(a - b).max(axis=(0, 2)) > 0
        changed[before] = True
        assert changed.all(), "a token is lost on the way"


@law
def test_lstm_reversed_is_flipped_run_and_flipped():
    """Of each sequence by its own length."""
    draw = random_arrays(4)
    x, weights, state = draw(4, 5, 3), weights_of(draw), draw(2, 4, 2)
    lengths = np.array([5, 2, 0, 3])
    turned = np.array([[*range(n)[::-1], *range(n, 5)] for n in lengths])[..., None]
    hidden = ops.lstm(np.take_along_axis(x, turned, 1), *weights, state, False, lengths)
    assert_close(
        ops.lstm(x, *weights, state, True, lengths),
        np.take_along_axis(hidden, turned, 1),
    )


WAYS = {"kernel": contextlib.nullcontext, "definition": kernels.definitions}


@law
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("there", [7.0, np.nan, np.inf])
def test_lstm_reads_nothing_behind_a_length(reverse, there, way):
    """What stands there changes nothing, were it NaN; it gives zeros."""
    draw = random_arrays(5)
    x, weights, lengths = draw(3, 4, 3), weights_of(draw), np.array([1, 4, 3])
    padded = x.copy()
    behind = np.arange(4) >= lengths[:, None]
    padded[behind] = there
    with WAYS[way](), np.errstate(invalid="ignore"):
        out = [ops.lstm(e, *weights, None, reverse, lengths) for e in (x, padded)]
    np.testing.assert_array_equal(*out)
    assert (out[0][behind] == 0).all() and (out[0][~behind] != 0).all()


@law
@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_reads_each_sequence_as_if_it_were_alone(reverse):
    """A batch of different lengths is a batch to save time, and nothing else."""
    draw = random_arrays(6)
    x, weights, state = draw(3, 6, 3), weights_of(draw), draw(2, 3, 2)
    lengths = np.array([4, 6, 1])
    together = ops.lstm(x, *weights, state, reverse, lengths)
    for row, length in enumerate(lengths):
        one = slice(row, row + 1)
        alone = ops.lstm(x[one, :length], *weights, state[:, one], reverse)
        assert_close(together[one, :length], alone)


@oracle
def test_lstm_cell_equals_torch(compare):
    """torch.nn.LSTMCell's two results, stacked, and the gradients of both."""
    draw = random_arrays(7)
    x, state, weights = draw(3, 5), draw(2, 3, 4), weights_of(draw, 5, 4)

    def cell(torch):
        def step(x, state, *weights):
            module = torch.nn.LSTMCell(5, 4, dtype=x.dtype)
            names = [name for name, _ in module.named_parameters()]
            parameters = dict(zip(names, weights))
            call = torch.func.functional_call
            return torch.stack(call(module, parameters, (x, tuple(state))))

        return step

    compare(ops.lstm_cell, cell, x, state, *weights)
    compare(ops.lstm_cell, one_step, x, state, *weights[:2])


@oracle
def test_lstm_equals_torch(compare):
    """torch.nn.LSTM's hidden states, with a state to begin with."""
    draw = random_arrays(8)
    x, weights, state = draw(3, 7, 5), weights_of(draw, 5, 4), draw(2, 3, 4)

    def module(torch):
        def layer(x, *weights):
            lstm = torch.nn.LSTM(5, 4, batch_first=True, dtype=x.dtype)
            names = [name for name, _ in lstm.named_parameters()]
            *weights, state = weights
            start = tuple(each[None] for each in state)
            parameters = dict(zip(names, weights))
            return torch.func.functional_call(lstm, parameters, (x, start))[0]

        return layer

    compare(ops.lstm, module, x, *weights, state)
    compare(ops.lstm, every_step, x, *weights[:2])


@oracle
@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_equals_torch_on_packed_sequences(compare, reverse):
    """Lengths are what pack_padded_sequence makes of them, in both directions."""
    draw = random_arrays(9)
    x, weights, state = draw(4, 6, 5), weights_of(draw, 5, 3), draw(2, 4, 3)
    options = {"reverse": reverse, "lengths": np.array([3, 6, 1, 5])}
    compare(ops.lstm, every_step, x, *weights, state, **options)


@derivative
def test_lstm_cell_derivative():
    """Of the token, the state, both weights and both biases."""
    draw = random_arrays(10)
    check_vjp(ops.lstm_cell, draw(2, 3), draw(2, 2, 2), *weights_of(draw))


@derivative
@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_derivative(reverse):
    """Backwards through time, and through every weight at every step."""
    draw = random_arrays(11)
    x, weights, state = draw(3, 4, 3), weights_of(draw), draw(2, 3, 2)
    check_vjp(ops.lstm, x, *weights, state, reverse, np.array([4, 2, 0]))
    check_vjp(ops.lstm, x, *weights, reverse=reverse)


@derivative
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reverse", [False, True])
def test_lstm_hands_nothing_to_what_is_behind_a_length(reverse, way):
    """No gradient arrives there; and a NaN there, in a token or in what is asked of
    its result, reaches no weight."""
    draw = random_arrays(12)
    x, weights, lengths = draw(3, 4, 3), weights_of(draw), np.array([1, 4, 3])
    d_out, padded = draw(3, 4, 2), x.copy()
    behind = np.arange(4) >= lengths[:, None]
    asked = d_out.copy()
    padded[behind] = asked[behind] = np.nan
    options = {"reverse": reverse, "lengths": lengths}
    with WAYS[way]():
        back = [
            pulled_back(ops.lstm, d_each, each, *weights, **options)
            for d_each, each in ((d_out, x), (asked, padded))
        ]
    for ours, theirs in zip(*back):
        np.testing.assert_array_equal(ours, theirs)
    assert (back[0][0][behind] == 0).all()


@derivative
def test_lstm_hands_back_a_gradient_through_an_open_gate():
    """With the forget gate open and the input gate shut, the gradient of the cell
    arrives whole, after 200 steps as after one."""
    biases, d_out = gates(SHUT, OPEN, 1.0, OPEN), np.zeros((1, 200, 1))
    d_out[:, -1] = 1
    state = np.array([[[0.0]], [[0.25]]])
    args = np.ones((1, 200, 1)), NONE, NONE, biases, None, state
    *_, d_state = pulled_back(ops.lstm, d_out, *args)
    np.testing.assert_allclose(d_state[1], [[1 - np.tanh(0.25) ** 2]], rtol=1e-14)


@contract
@pytest.mark.parametrize("name", ["lstm", "lstm_cell"])
def test_lstm_refuses_weights_that_are_not_four_gates(name):
    """The message says how many rows there should be."""
    x = np.zeros((2, 5, 3)) if name == "lstm" else np.zeros((2, 3))
    first = (x,) if name == "lstm" else (x, np.zeros((2, 2, 2)))
    with pytest.raises(ShapeError, match=rf"{name}: weight_hh is \(6, 2\).*\(8, 2\)"):
        getattr(ops, name)(*first, np.zeros((6, 3)), np.zeros((6, 2)))


@contract
@pytest.mark.parametrize("lengths", [[-1, 2], [2, 6]])
def test_lstm_refuses_lengths_that_are_not_there(lengths):
    """Five steps are no six, and nothing is shorter than nothing."""
    args = np.zeros((2, 5, 3)), np.zeros((8, 3)), np.zeros((8, 2))
    with pytest.raises(ValueError, match=r"lstm: lengths .* must lie in 0 to 5"):
        ops.lstm(*args, lengths=np.array(lengths))


@contract
def test_lstm_refuses_a_direction_that_is_none():
    """1 and "backwards" are refused by name."""
    args = np.zeros((2, 5, 3)), np.zeros((8, 3)), np.zeros((8, 2))
    with pytest.raises(ValueError, match="lstm: reverse is True or False, not 1"):
        ops.lstm(*args, reverse=1)


@contract
def test_lstm_refuses_one_state_for_two():
    """A hidden state without a cell is said by its shape."""
    args = np.zeros((2, 5, 3)), np.zeros((8, 3)), np.zeros((8, 2))
    with pytest.raises(ShapeError, match=r"lstm: state is \(2, 2\), but needs 3 axes"):
        ops.lstm(*args, state=np.zeros((2, 2)))
