r"""Recurrent stacks: layers that read a sequence, each what the one below it wrote.

    one way      h^1 = lstm(x),  h^2 = lstm(h^1), ...
    both ways    h^1 = [lstm(x), lstm(x, from the end)],  h^2 of h^1 likewise

One way alone can be written while the sequence comes, a token at a time; with both,
every new token changes all that stands before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import ops
from ..arguments import check_whole
from ..shapes import ShapeError, shapes

PARTS = "weight_ih", "weight_hh", "bias_ih", "bias_hh"


@shapes(x="b t n", lengths="b of integers")
def lstm_stack(x, weights, layers, bidirectional=False, lengths=None):
    r"""Every state of the last layer: $h^k = \operatorname{lstm}(h^{k-1})$, $h^0 = x$.

    x (b, t, n) becomes (b, t, h). Where it is `bidirectional`, a second layer reads
    the same from the end, and the two stand side by side, (b, t, 2h), on each floor.
    Of `lengths`, one for each sequence, what stands behind is not read.

    Weights are nn.LSTM's: weight_ih_l0 (4h, n), weight_hh_l0 (4h, h), bias_ih_l0 (4h),
    bias_hh_l0 (4h), then those of _l1, and of each _reverse; biases may be missing.

    Source: [MicroVLM-V] 1, whose stack has 2 layers of 448 units each way.
    Oracle: torch.nn.LSTM.
    """
    check_whole("lstm_stack", least=1, layers=layers)
    for layer in range(layers):
        there = ops.lstm(x, **_layer(weights, f"l{layer}"), lengths=lengths)
        if bidirectional:
            of_back = _layer(weights, f"l{layer}_reverse")
            back = ops.lstm(x, **of_back, reverse=True, lengths=lengths)
            there = np.concatenate([there, back], axis=-1)
        x = there
    return x


@shapes(x="b n")
def lstm_stack_step(x, state, weights, layers):
    """One token through a stack of one way, and what it remembers: the state after it.

    x is (b, n); `state` (layers, 2, b, h) holds each layer's (h, c), and is None before
    the first token. So is the result, and its [-1, 0] is what `lstm_stack` says of
    that token.

    Source: [MicroVLM-V] 1, written as pictures come. Oracle: torch.nn.LSTM, which hands
    on its state.
    """
    check_whole("lstm_stack_step", least=1, layers=layers)
    if state is None:
        hidden = weights["weight_hh_l0"].shape[-1]
        state = np.zeros((layers, 2, x.shape[0], hidden), x.dtype)
    if len(state) != layers:
        raise ShapeError(
            f"lstm_stack_step: state is {state.shape}, but {layers} layers have a "
            f"state each, ({layers}, 2, b, h)"
        )
    after = []
    for layer in range(layers):
        after.append(ops.lstm_cell(x, state[layer], **_layer(weights, f"l{layer}")))
        x = after[-1][0]
    return np.stack(after)


def _layer(weights: Mapping, end) -> dict[str, Any]:
    """The four tensors of one layer, one way; a missing bias is None."""
    tensors = {part: weights[f"{part}_{end}"] for part in PARTS[:2]}
    return tensors | {part: weights.get(f"{part}_{end}") for part in PARTS[2:]}


def lstm_stack_shapes(
    width: int, hidden: int, layers: int, bidirectional: bool = False, bias: bool = True
) -> dict[str, tuple[int, ...]]:
    """name -> shape, under nn.LSTM's names; a layer one way has 4 h (n + h + 2).

    >>> lstm_stack_shapes(896, 448, layers=2, bidirectional=True)["weight_ih_l1"]
    (1792, 896)
    """
    named: dict[str, tuple[int, ...]] = {}
    ways = ("", "_reverse") if bidirectional else ("",)
    for layer in range(layers):
        for way in ways:
            read = width if layer == 0 else len(ways) * hidden
            of_parts = (4 * hidden, read), (4 * hidden, hidden), (4 * hidden,)
            for part, shape in zip(PARTS, (*of_parts, of_parts[-1])):
                if bias or part.startswith("weight"):
                    named[f"{part}_l{layer}{way}"] = shape
    return named
