"""Recurrence with one product for all tokens, and only the rest from step to step.

What the gates take from the tokens does not wait for any state: it is one matrix
product for the whole sequence. So are, on the way back, the gradients of the tokens and
of both weights, once those of the gates are known. Steps are counted as they are
walked, so that a layer that reads backwards is the same, with the time turned round.
"""

from __future__ import annotations

import numpy as np

from ..sums import total


def lstm(x, weight_ih, weight_hh, bias_ih, bias_hh, state, reverse, lengths, residuals):
    """Every hidden state (b, t, h); for the tape `gates`, (t, b, 4h), and `states`,
    (2, t + 1, b, h) with the first one in front."""
    walked, inside = _walked(x, reverse, lengths)
    times, batch, width = walked.shape
    hidden = weight_hh.shape[1]
    gates = walked.reshape(times * batch, width) @ weight_ih.T
    gates = gates.reshape(times, batch, len(weight_ih))
    for bias in (bias_ih, bias_hh):
        if bias is not None:
            gates += bias
    states = np.zeros((2, times + 1, batch, hidden), x.dtype)
    if state is not None:
        states[:, 0] = state
    # sigmoid(a) = (1 + tanh(a / 2)) / 2: one tanh serves all four gates.
    slope = np.full((4, hidden), 0.5, x.dtype)
    slope[2] = 1
    slope = slope.ravel()
    back = weight_hh.T
    for step, sums in enumerate(gates):
        h, c = states[:, step]
        sums += h @ back
        sums *= slope
        np.tanh(sums, out=sums)
        sums *= slope
        sums += 1 - slope
        i, f, g, o = _four(sums)
        new_h, new_c = states[:, step + 1]
        np.multiply(f, c, out=new_c)
        new_c += i * g
        np.multiply(o, np.tanh(new_c), out=new_h)
        if inside is not None:
            waits = ~inside[step, :, 0]
            new_h[waits], new_c[waits] = h[waits], c[waits]
    if residuals is not None:
        residuals["gates"], residuals["states"] = gates, states
    out = states[0, 1:] if inside is None else np.where(inside, states[0, 1:], 0)
    return np.ascontiguousarray(_unwalked(out, reverse))


def lstm_vjp(
    d_out, x, weight_ih, weight_hh, state, reverse, lengths, needs, gates, states
):
    """From the gates and the states that the forward left; what nobody needs costs
    nothing."""
    if gates is None or states is None:
        return NotImplemented
    walked, inside = _walked(x, reverse, lengths)
    d_shown, _ = _walked(d_out, reverse, lengths)
    times, batch, width = walked.shape
    hidden = weight_hh.shape[1]
    d_sums = np.empty_like(gates)
    d_h, d_c = np.zeros((2, batch, hidden), x.dtype)
    for step in reversed(range(times)):
        i, f, g, o = _four(gates[step])
        shown = np.tanh(states[1, step + 1])
        d_after = d_h + d_shown[step]
        d_cell = d_c + d_after * o * (1 - shown * shown)
        d_i, d_f, d_g, d_o = _four(d_sums[step])
        np.multiply(d_cell * g, i * (1 - i), out=d_i)
        np.multiply(d_cell * states[1, step], f * (1 - f), out=d_f)
        np.multiply(d_cell * i, 1 - g * g, out=d_g)
        np.multiply(d_after * shown, o * (1 - o), out=d_o)
        if inside is None:
            d_h, d_c = d_sums[step] @ weight_hh, d_cell * f
        else:
            d_sums[step] *= inside[step]
            d_h = np.where(inside[step], d_sums[step] @ weight_hh, d_h)
            d_c = np.where(inside[step], d_cell * f, d_c)
    rows = d_sums.reshape(times * batch, len(weight_ih))
    before = states[0, :-1].reshape(times * batch, hidden)
    d_bias = total(rows, 0) if {"bias_ih", "bias_hh"} & set(needs) else None
    d_x = None
    if "x" in needs:
        d_x = (rows @ weight_ih).reshape(times, batch, width)
        d_x = np.ascontiguousarray(_unwalked(d_x, reverse))
    tokens = walked.reshape(times * batch, width)
    return (
        d_x,
        rows.T @ tokens if "weight_ih" in needs else None,
        rows.T @ before if "weight_hh" in needs else None,
        d_bias,
        d_bias,
        np.stack([d_h, d_c]),
    )


def _walked(x, reverse, lengths):
    """The tokens (t, b, n) in the order of the walk, zeros for those that are not read,
    and which are, (t, b, 1), or None for all."""
    walked = x.swapaxes(0, 1)
    inside = None
    if lengths is not None:
        inside = (np.arange(len(walked))[:, None] < lengths)[..., None]
        walked = np.where(inside, walked, 0)
    if reverse:
        walked = walked[::-1]
        inside = None if inside is None else inside[::-1]
    return walked, inside


def _unwalked(walked, reverse):
    return (walked[::-1] if reverse else walked).swapaxes(0, 1)


def _four(gates):
    """i, f, g, o: views of (b, 4h)."""
    hidden = gates.shape[-1] // 4
    return [gates[:, hidden * k : hidden * (k + 1)] for k in range(4)]
