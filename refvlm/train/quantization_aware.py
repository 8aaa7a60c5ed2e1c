r"""Training that learns to be rounded: $W \leftarrow W - \eta\,\nabla L(Q(W))$.

    masters (float32) --round--> weights --forward--> loss --back--> gradients
        ^                                                               |
        +--------------- masters - rate * gradients <-------------------+

A matrix of few bits has no small steps to learn by: nearly every step would round to
where it was. So the numbers that learn stay as fine as before, the model is only ever
shown what they are rounded to, and the gradient at the rounded matrix is taken for that
of the fine one, straight through: $\partial Q(W) / \partial W := 1$. What a step leaves
out is kept in the fine numbers, until enough has come together to round another way.

    loss = lambda weights: model(x, with_rounded(weights, names, scheme.rounded))
    value, gradients = value_and_grad(loss)(weights)

The model never hears of it. Bengio et al., Estimating or Propagating Gradients Through
Stochastic Neurons; Jacob et al., Quantization and Training of Neural Networks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from ..autodiff import Variable, value_of
from ..checkpoint import Weights
from ..quantize import straight_through

Array = np.ndarray
Rounding = Callable[[Array], Array]


def with_rounded(
    weights: Mapping[str, Array], names: Iterable[str], rounded: Rounding
) -> Weights:
    r"""The weights in which each named W is $Q(W)$, with $\partial Q/\partial W := 1$.

    `rounded(array)` is Q: it gives an array of the same shape and dtype. A Variable
    learns as if it had not been rounded; a plain array is rounded and stays plain. One
    matrix under two names, such as a tied head, is rounded once and stays one.

    Source: [Cortes] 9.5. Oracle: torch's w + (q - w).detach().

    >>> weights = with_rounded({"a": np.array([[0.4, 1.6]])}, ["a"], np.round)
    >>> weights["a"]
    array([[0., 2.]])
    """
    if not isinstance(weights, Weights):
        weights = Weights(weights)
    known: dict[int, Array | Variable] = {}
    changed = {}
    for name in names:
        matrix = weights[name]
        if id(matrix) not in known:
            known[id(matrix)] = _rounded(name, matrix, rounded)
        changed[name] = known[id(matrix)]
    return weights.replace(changed)


def _rounded(name, matrix, rounded):
    if matrix.dtype.kind != "f":
        raise ValueError(
            f"with_rounded: {name} is {matrix.dtype}, and only floats are rounded: "
            "choose names that are"
        )
    values = rounded(value_of(matrix))
    if values.shape != matrix.shape or values.dtype != matrix.dtype:
        raise ValueError(
            f"with_rounded: {name} is {matrix.dtype} {matrix.shape}, but rounded it is "
            f"{values.dtype} {values.shape}: a rounding keeps both"
        )
    return straight_through(matrix, values) if type(matrix) is Variable else values


def round_off(
    weights: Mapping[str, Array], names: Iterable[str], rounded: Rounding
) -> dict[str, Array]:
    """Plain weights that are what the model was shown: to be saved as any checkpoint.

    Source: [Cortes] 9.5. Oracle: the same rounding in torch.
    """
    shown = with_rounded(weights, names, rounded)
    return {name: shown[name] for name in shown}
