r"""Recurrence: one small network, applied to one token after the other.

What it has seen so far is its state. A long short-term memory has two of them for each
unit: the cell c, which is added to and so keeps, and the hidden state h, which is shown
to the outside. They travel as one array, (h, c) stacked: (2, b, h).
"""

from __future__ import annotations

import numpy as np

from ..autodiff import differentiable
from ..kernels import computed_by, recurrent
from ..shapes import shapes
from ..sums import total
from . import demands
from .activation import sigmoid
from .affine import linear


@differentiable
@shapes(
    demands.four_gates,
    x="b n",
    state="2 b h",
    weight_ih="g n",
    weight_hh="g h",
    bias_ih="g",
    bias_hh="g",
    returns="2 b h",
)
def lstm_cell(x, state, weight_ih, weight_hh, bias_ih=None, bias_hh=None):
    r"""Forget some, add some, show some: $c' = f \odot c + i \odot g$ and
    $h' = o \odot \tanh c'$.

    The gates $i, f, o = \sigma(\cdot)$ and the candidate $g = \tanh(\cdot)$ are affine
    in the token x (b, n) and in $h$: $W_{ih} x + b_{ih} + W_{hh} h + b_{hh}$, whose 4h
    rows stand in the order i, f, g, o. `state` is (h, c) as one array (2, b, h), and so
    is the result, (h', c'): PyTorch's two, stacked.

    Source: [MicroVLM-V] 1. Oracle: torch.nn.LSTMCell.

    >>> open_gates = np.array([[0.0], [0.0], [0.0], [0.0]])
    >>> state = np.array([[[0.0]], [[2.0]]])
    >>> lstm_cell(np.ones((1, 1)), state, open_gates, open_gates)[1]
    array([[1.]])
    """
    hidden, cell = state
    sums = linear(x, weight_ih, bias_ih) + linear(hidden, weight_hh, bias_hh)
    i, f, g, o = np.split(sums, 4, axis=-1)
    cell = sigmoid(f) * cell + sigmoid(i) * np.tanh(g)
    return np.stack([sigmoid(o) * np.tanh(cell), cell])


@lstm_cell.vjp
def lstm_cell_vjp(d_out, x, state, weight_ih, weight_hh, bias_ih, bias_hh, out):
    r"""Through $h' = o \odot \tanh c'$ into the cell,
    $\hat c = \bar c' + \bar h' \odot o\,(1 - \tanh^2 c')$, and from there to $c$, which
    gets $f \odot \hat c$, and to the four sums, each by the slope of its gate:
    $\hat c\, g\, i(1 - i)$, $\hat c\, c\, f(1 - f)$, $\hat c\, i\,(1 - g^2)$ and
    $\bar h' \tanh c'\, o(1 - o)$. The rest is that of two linear maps.
    """
    (hidden, cell), (d_hidden, d_cell), shown = state, d_out, np.tanh(out[1])
    sums = linear(x, weight_ih, bias_ih) + linear(hidden, weight_hh, bias_hh)
    i, f, g, o = np.split(sums, 4, axis=-1)
    i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
    d_cell = d_cell + d_hidden * o * (1 - shown * shown)
    d_i, d_f = d_cell * g * i * (1 - i), d_cell * cell * f * (1 - f)
    d_g, d_o = d_cell * i * (1 - g * g), d_hidden * shown * o * (1 - o)
    d_sums = np.concatenate([d_i, d_f, d_g, d_o], axis=-1)
    return (
        d_sums @ weight_ih,
        np.stack([d_sums @ weight_hh, d_cell * f]),
        d_sums.T @ x,
        d_sums.T @ hidden,
        total(d_sums, (0,)),
        total(d_sums, (0,)),
    )


@differentiable
@shapes(
    demands.four_gates,
    demands.lengths_of_rows,
    demands.a_direction,
    x="b t n",
    weight_ih="g n",
    weight_hh="g h",
    bias_ih="g",
    bias_hh="g",
    state="2 b h",
    lengths="b of integers",
)
@computed_by(recurrent.lstm)
def lstm(
    x,
    weight_ih,
    weight_hh,
    bias_ih=None,
    bias_hh=None,
    state=None,
    reverse=False,
    lengths=None,
):
    r"""The cell from token to token: $(h_t, c_t) = \operatorname{cell}(x_t, h_{t-1},
    c_{t-1})$, and every $h_t$ is the result.

    x is (b, t, n), the result (b, t, h). Each sequence begins with `state` (2, b, h),
    which is zero unless given. With `reverse` it is read from its end to its beginning,
    and $h_t$ knows what comes after t. Of `lengths`, one for each sequence, whatever
    stands behind is not read, whichever the direction: there the state waits, and the
    result is 0.

    Source: [MicroVLM-V] 1. Oracle: torch.nn.LSTM, with packed sequences.

    >>> x, forget_nothing = np.ones((1, 3, 1)), np.array([0.0, 100.0, 0.0, 100.0])
    >>> write = np.array([[100.0], [0.0], [0.5], [0.0]])
    >>> np.arctanh(lstm(x, write, 0 * write, forget_nothing)) / np.tanh(0.5)
    array([[[1.],
            [2.],
            [3.]]])
    """
    batch, times, _ = x.shape
    if state is None:
        state = np.zeros((2, batch, weight_hh.shape[1]), x.dtype)
    ends = np.full(batch, times) if lengths is None else lengths
    inside = (np.arange(times) < ends[:, None])[..., None]
    hidden = np.zeros((batch, times, weight_hh.shape[1]), x.dtype)
    for t in reversed(range(times)) if reverse else range(times):
        after = lstm_cell(x[:, t], state, weight_ih, weight_hh, bias_ih, bias_hh)
        state = np.where(inside[:, t], after, state)
        hidden[:, t] = np.where(inside[:, t], state[0], 0)
    return hidden


@lstm.vjp
@computed_by(recurrent.lstm_vjp)
def lstm_vjp(
    d_out,
    x,
    weight_ih,
    weight_hh,
    bias_ih,
    bias_hh,
    state,
    reverse,
    lengths,
    needs,
    gates=None,
    states=None,
):
    r"""Backwards through time: what the states behind t ask of $(h_t, c_t)$ is added to
    $\bar h_t$ from outside, goes through the cell, and on to t - 1. A weight serves at
    every step, so that its gradients are added up. Where the state waited, so does its
    gradient.

    `needs`, `gates` and `states` serve the kernel, which keeps what it computed.
    """
    batch, times, _ = x.shape
    if state is None:
        state = np.zeros((2, batch, weight_hh.shape[1]), x.dtype)
    ends = np.full(batch, times) if lengths is None else lengths
    inside = (np.arange(times) < ends[:, None])[..., None]
    x = np.where(inside, x, 0)
    steps = range(times)[::-1] if reverse else range(times)
    weights, before = (weight_ih, weight_hh, bias_ih, bias_hh), {}
    for t in steps:
        before[t] = state
        state = np.where(inside[:, t], lstm_cell(x[:, t], state, *weights), state)
    d_x, d_state = np.zeros_like(x), np.zeros_like(state)
    d_bias = np.zeros(len(weight_ih), x.dtype)
    d_weights = [np.zeros_like(weight_ih), np.zeros_like(weight_hh), d_bias, d_bias]
    for t in reversed(steps):
        waiting = np.where(inside[:, t], 0, d_state)
        d_after = np.where(inside[:, t], d_state, 0)
        d_after[0] += np.where(inside[:, t], d_out[:, t], 0)
        after = lstm_cell(x[:, t], before[t], *weights)
        d_x[:, t], d_before, *shares = lstm_cell_vjp(
            d_after, x[:, t], before[t], *weights, after
        )
        d_state = d_before + waiting
        d_weights = [d + share for d, share in zip(d_weights, shares)]
    return d_x, *d_weights, d_state
