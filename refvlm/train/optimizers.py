r"""From gradient descent to AdamW: how the parameters move, given the gradient.

Each rule is a plain function of one array and of what it remembers. The rules treat
every number by itself, so they work on one parameter, or on a whole model that was
laid out as one vector; `AdamW` does the latter. Half precision is computed in single:
in half an epsilon of 1e-8 would be 0, and so would the square of a gradient of 1e-4.
Moments given as float32 stay float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..shapes import ShapeError, shapes
from .flat import Layout

Array = np.ndarray


def a_number_for_each(function, parameter, gradient):
    """A gradient has the shape of its parameter."""
    if gradient.shape != parameter.shape:
        raise ShapeError(
            f"{function}: the parameter is {parameter.shape}, but its gradient "
            f"{gradient.shape}; each number needs its own"
        )


@shapes(a_number_for_each, parameter="...", gradient="...")
def sgd_step(parameter, gradient, learning_rate, weight_decay=0.0):
    r"""Downhill: $\theta \leftarrow \theta - \eta\,(g + \lambda\theta)$.

    Source: [Cortes] 8.1. Oracle: torch.optim.SGD.

    >>> sgd_step(np.array([1.0, 2.0]), np.array([10.0, -10.0]), 0.1)
    array([0., 3.])
    """
    rate = float(learning_rate)
    return parameter - rate * _with_l2(gradient, parameter, weight_decay)


@shapes(a_number_for_each, parameter="...", gradient="...", velocity="... or None")
def momentum_step(
    parameter,
    gradient,
    velocity,
    learning_rate,
    beta=0.9,
    form="ema",
    dampening=0.0,
    nesterov=False,
    weight_decay=0.0,
):
    r"""Downhill with memory: $\theta \leftarrow \theta - \eta\,m$, with the velocity

    $m \leftarrow \beta m + (1 - \beta) g$ for the form "ema", a mean of gradients, and
    $m \leftarrow \beta m + (1 - d)\, g$ for "torch", a decaying sum of them.

    Returns (parameter, velocity). The velocity before the first step is None: zero for
    "ema"; for "torch" the first velocity is g itself, undamped. Nesterov's variant
    steps along $g + \beta m$.

    Source: [Cortes] 8.1, the form "ema". Oracle: torch.optim.SGD, the form "torch".
    """
    gradient = _with_l2(gradient, parameter, weight_decay)
    if form == "ema":
        if dampening or nesterov:
            raise ValueError('momentum_step: dampening and nesterov need form="torch"')
        old = 0.0 if velocity is None else beta * velocity
        velocity = direction = old + (1 - beta) * gradient
    elif form == "torch":
        if nesterov and (dampening or beta <= 0):
            raise ValueError("momentum_step: nesterov needs beta > 0 and no dampening")
        if velocity is None:
            velocity = gradient.copy()
        else:
            velocity = beta * velocity + (1 - dampening) * gradient
        direction = gradient + beta * velocity if nesterov else velocity
    else:
        raise ValueError(f'momentum_step: form is {form!r}, not "ema" or "torch"')
    return parameter - float(learning_rate) * direction, velocity


@shapes(a_number_for_each, parameter="...", gradient="...", first="...", second="...")
def adam_step(
    parameter,
    gradient,
    first,
    second,
    step,
    learning_rate,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.0,
):
    r"""Each number at its own pace: $\theta \leftarrow \theta - \eta\,
    \hat m / (\sqrt{\hat v} + \epsilon)$, where

    $m \leftarrow \beta_1 m + (1 - \beta_1) g$ and $\hat m = m / (1 - \beta_1^t)$,
    $v \leftarrow \beta_2 v + (1 - \beta_2) g^2$ and $\hat v = v / (1 - \beta_2^t)$.

    `first` is m and `second` is v, zero before the first step, whose number t = `step`
    is 1. Weight decay is the gradient of $\lambda|\theta|^2/2$, added to g; for the
    other kind see `adamw_step`. Returns (parameter, first, second).

    Source: [Cortes] 8.1. Oracle: torch.optim.Adam.

    >>> weight, zero = np.array([1.0, 1.0]), np.zeros(2)
    >>> adam_step(weight, np.array([100.0, -0.01]), zero, zero, 1, 0.1)[0].round(4)
    array([0.9, 1.1])
    """
    gradient = _with_l2(gradient, parameter, weight_decay)
    first, second = _moments(gradient, first, second, betas)
    change = _corrected(first, second, step, learning_rate, betas, eps)
    return parameter - change, first, second


@shapes(a_number_for_each, parameter="...", gradient="...", first="...", second="...")
def adamw_step(
    parameter,
    gradient,
    first,
    second,
    step,
    learning_rate,
    betas=(0.9, 0.999),
    eps=1e-8,
    weight_decay=0.01,
):
    r"""Adam, with the decay beside it: $\theta \leftarrow \theta - \eta\,
    (\hat m / (\sqrt{\hat v} + \epsilon) + \lambda\theta)$.

    The moments never see the decay, so every weight shrinks at the same rate,
    $1 - \eta\lambda$ per step, whatever its gradients. Arguments and results are
    those of `adam_step`.

    Source: [Cortes] 8.1; [MicroVLM-V] 6. Oracle: torch.optim.AdamW.
    """
    first, second = _moments(gradient, first, second, betas)
    change = _corrected(first, second, step, learning_rate, betas, eps)
    kept = float(1 - learning_rate * weight_decay)
    return parameter * kept - change, first, second


def _with_l2(gradient, parameter, weight_decay):
    return gradient + weight_decay * parameter if weight_decay else gradient


def _moments(gradient, first, second, betas):
    slow, slower = betas
    first = slow * first + (1 - slow) * gradient
    second = slower * second + (1 - slower) * (gradient * gradient)
    return first, second


def _corrected(first, second, step, learning_rate, betas, eps):
    r"""$\eta\,\hat m / (\sqrt{\hat v} + \epsilon)$, its corrections as plain numbers:
    a Python float leaves float32 what it is, and costs no pass over the array."""
    if step < 1:
        raise ValueError(f"the first step has number 1; this one has {step}")
    slow, slower = (1 - beta**step for beta in betas)
    size = np.sqrt(second)
    size *= 1 / math.sqrt(slower)
    size += eps
    return float(learning_rate / slow) * first / size


@dataclass(frozen=True)
class AdamW:
    """`adamw_step` for a whole model: names to arrays, floating, of one dtype.

    The moments are float32 at least.

    `weight_decay` is a number, or a function of a parameter's name and array; `scale`
    multiplies the learning rate and is a function of the name. Parameters that agree
    on both lie next to one another in one vector, and are stepped together.

    >>> optimizer = AdamW(weight_decay=matrices_only(0.1))
    >>> weights = {"weight": np.ones((2, 2)), "bias": np.zeros(2)}
    >>> state = optimizer.init(weights)
    >>> gradients = {"weight": np.ones((2, 2)), "bias": np.ones(2)}
    >>> weights, state = optimizer.step(weights, gradients, state, 0.5)
    >>> weights["weight"][0].round(2), weights["bias"].round(2), int(state["step"])
    (array([0.45, 0.45]), array([-0.5, -0.5]), 1)
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float | Callable[[str, Array], float] = 0.01
    scale: Callable[[str], float] = lambda name: 1.0

    def init(self, parameters: Mapping[str, Array]) -> dict[str, Array]:
        """The state before the first step: four arrays, which a file can hold.

        `first` and `second` are the moments of all parameters as one vector, and
        `layout` is a number that tells one set of parameters from another.
        """
        layout = self._layout(parameters)
        wide = np.result_type(layout.dtype, np.float32)
        return {
            "step": np.array(0),
            "layout": np.array(layout.digest),
            "first": np.zeros(layout.size, wide),
            "second": np.zeros(layout.size, wide),
        }

    def step(
        self,
        parameters: Mapping[str, Array],
        gradients: Mapping[str, Array],
        state: Mapping[str, Array],
        learning_rate: float,
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """(parameters, state) after one step; what came in is not written to."""
        layout = self._layout(parameters)
        if int(state["layout"]) != layout.digest:
            raise ValueError(
                "this state belongs to other parameters, or to other groups of them: "
                "begin with init(parameters)"
            )
        old, slope = layout.pack(parameters), layout.pack(gradients)
        new = np.empty_like(old)
        first, second = np.empty_like(state["first"]), np.empty_like(state["second"])
        number = int(state["step"]) + 1
        for part, (decay, scale) in layout.chunks():
            new[part], first[part], second[part] = adamw_step(
                old[part],
                slope[part],
                state["first"][part],
                state["second"][part],
                number,
                learning_rate * scale,
                self.betas,
                self.eps,
                decay,
            )
        moments = {"first": first, "second": second}
        return layout.unpack(new), {**state, "step": np.array(number), **moments}

    def _layout(self, parameters):
        return Layout.of(parameters, lambda n, a: (self._decay(n, a), self.scale(n)))

    def _decay(self, name, array):
        given = self.weight_decay
        return given(name, array) if callable(given) else given


def matrices_only(weight_decay: float) -> Callable[[str, Array], float]:
    """The usual decay: of matrices and kernels, but not of biases, scales and norms."""
    return lambda name, array: weight_decay if array.ndim > 1 else 0.0
